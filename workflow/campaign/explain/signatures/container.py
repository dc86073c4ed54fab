"""Containers of the engine: Apptainer, Singularity, Pyxis with Enroot."""

from campaign.explain.signature import Signature

CONTAINER = (
    Signature(
        "container_image",
        r"bad superblock for squashfs|Something went wrong trying to read the squashfs image|"
        r"is corrupted: wrong partition size|failed to mount squashfs filesystem: invalid argument|"
        r"[Ii]mage format not recognized",
        "The container's image is damaged or incomplete, or compressed in a way that this node does not read.",
        "copy or pull the image again and compare its size; else build it with gzip (apptainer build "
        "--mksquashfs-args='-comp gzip')",
        "permanent",
    ),
    Signature(
        "user_namespaces",
        r"(?:create user namespace|user namespaces?\b|create container process).{0,40}No space left|max_user_namespaces",
        "This node makes no further user namespace, which the container needs: the kernel's limit "
        "(max_user_namespaces) is 0 or used up; no disk is full.",
        "run on another node, and tell the cluster's support this one's name",
        "another_node",
        depth="worker",
    ),
    Signature(
        "container_namespace",
        r"while getting /proc/self/ns/user file descriptor",
        "Apptainer could not make its user namespace or its helper process on this node.",
        "another module of the cluster (singularity, or an apptainer with setuid), or ask the cluster's support",
        "permanent",
    ),
    Signature(
        "container_pull_limit",
        r"(?i:toomanyrequests|reached your (?:unauthenticated )?pull rate limit)",
        "The registry allows no more downloads of images from this address now.",
        "pull the image once to a file and name that in `engine`, log in to the registry, or wait",
        "again",
    ),
    Signature(
        "pyxis_attach",
        r"pyxis: (?:unable to open user namespace file|couldn't get container namespaces)",
        "The container that the step was to join ended at that moment.",
        "start again; let the step that holds the container run on",
        "again",
    ),
    Signature(
        "pyxis_folder",
        r"pyxis: couldn't mkdir /run/pyxis",
        "Pyxis has no folder for its work on this node.",
        "run on another node, and tell the cluster's support this one's name",
        "another_node",
    ),
    Signature(
        "pyxis_image_name",
        r"pyxis: (?:failed to import docker image|couldn't start container)",
        "The image's file was taken for a name of a registry: Pyxis takes for a file only what begins with / or ./.",
        "--container-image=/full/path/IMAGE.sqsh (or ./IMAGE.sqsh)",
        "permanent",
        beside=r"importing docker image: (?!\.{0,2}/)[^\s:]+\.sqsh",
    ),
    Signature(
        "container_registry_refused",
        r"URL (?P<url>\S+?)/(?:manifests|blobs)\S* returned error code: (?P<code>40[134])|"
        r"(?i:requested access to the resource is denied|unauthorized: authentication required|manifest unknown)",
        "The registry does not hand the image out ({code}): it has none of this name or version, or wants a login. {url}",
        "correct the image's name; for Enroot and Pyxis a # stands between another registry and the image "
        "(nvcr.io#nvidia/pytorch:TAG); log in (~/.config/enroot/.credentials, apptainer registry login)",
        "permanent",
    ),
    Signature(
        "container_no_shell",
        r"enroot-switchroot: failed to execute: (?P<program>[^:]+): ",
        "The container's image has no {program}, or not all of it was unpacked.",
        "srun --no-container-entrypoint; remove the copy (enroot remove NAME, or the .sqsh file) and import the image again, "
        "on a disk with room",
        "permanent",
    ),
    Signature(
        "enroot_whiteout",
        r"enroot-aufs2ovlfs: failed",
        "Enroot unpacks the image on a file system that cannot hold it (tmpfs, an overlay, NFS).",
        "ENROOT_TEMP_PATH, ENROOT_CACHE_PATH and ENROOT_DATA_PATH on a local disk, or import the image once "
        "elsewhere (enroot import) and name the .sqsh file",
        "permanent",
    ),
    Signature(
        "container_bind_permission",
        r"enroot-mount: failed to mount: (?P<path>\S+) .*(?:Permission denied|Operation not permitted)",
        "The folder {path} that is bound into the container may not be read by who mounts it (NFS keeps root out).",
        "start it as yourself and not as root; another folder, or mend its mode",
        "permanent",
    ),
    Signature(
        "container_runtime_folder",
        r"(?i:(?:mkdir|create directory|creating).{0,40}(?P<path>/run/(?:user/\d+|enroot|containers)[^\s:']*).{0,3}: "
        r"(?:permission denied|no such file)|XDG_RUNTIME_DIR.{0,60}(?:is not owned|does not exist|no such file))",
        "The container's program has no folder for its work on this node ({path}): a job of Slurm is no login session, in "
        "which the system would make it.",
        "mkdir a folder of your own on a local disk, and name it: XDG_RUNTIME_DIR (podman), ENROOT_RUNTIME_PATH (enroot)",
        "permanent",
    ),
    Signature(
        "container_exec",
        r"exec user process caused.{0,5}(?P<why>permission denied|exec format error|no such file)",
        "The container's program cannot be run ({why}): a file system without execution or user ids for the image (NFS), "
        "another processor, or a script with lines of Windows.",
        "keep the images on a local disk (podman: --root, or graphroot of storage.conf), built for this processor",
        "permanent",
    ),
    Signature(
        "container_folder",
        r"Failed to restore current working directory",
        "The folder in which the container was started cannot be entered by its namespace (NFS keeps root out, or its mode "
        "is closed).",
        "start it from another folder (cd /tmp), or with --pwd; --fakeroot only where it is needed",
        "permanent",
    ),
    Signature(
        "container_no_gpu_driver",
        r"could not select device driver .*gpu|nvidia-container-cli: initialization error",
        "Docker cannot hand GPUs to a container here: the NVIDIA Container Toolkit (or the driver) is missing or not set up.",
        "install nvidia-container-toolkit (nvidia-ctk runtime configure), or ask the cluster's support; nvidia-smi must work "
        "outside first",
        "permanent",
    ),
    Signature(
        "podman_ids",
        r"insufficient UIDs or GIDs available in user namespace",
        "Podman has too few user ids of yours for the owners of this image's files.",
        "ignore_chown_errors of storage.conf, another image, or ask the cluster's support for more (/etc/subuid, /etc/subgid)",
        "permanent",
    ),
    Signature(
        "container_runtime",
        r"crun: .*Function not implemented",
        "The container's runtime (crun) wants a call that this node's kernel does not have.",
        "podman --runtime runc, or another crun",
        "permanent",
    ),
    Signature(
        "no_root_group",
        r"failed to retrieve group information for 0|Failed to retrieve root group information",
        "This node knows no group 0: /etc/group is broken there.",
        "run on another node, and tell the cluster's support this one's name",
        "another_node",
    ),
    Signature(
        "container_fuse",
        r"fusermount|squashfuse|fuse: (?:failed|mount|device)",
        "The container's image cannot be mounted on this node: FUSE (fusermount3, of the package fuse3) is missing or not "
        "allowed.",
        "unpack the image once and name the folder in `engine` (apptainer build --sandbox FOLDER IMAGE), or ask the cluster's "
        "support for fuse3 or a setuid apptainer",
        "permanent",
    ),
    Signature(
        "container_bind_target",
        r"destination (?P<path>\S+) doesn't exist in container",
        "A folder is to be bound to {path}, which the image does not have, and this Apptainer makes none there (no overlay).",
        "bind it to a folder that the image has (/mnt, /tmp), or make {path} when the image is built",
        "permanent",
    ),
    Signature(
        "container_bind",
        r"mount source (?P<path>\S+) doesn't exist|while mounting (?!image )(?P<other>[^\s:]+):? .*(?:doesn't exist|"
        r"[Nn]o such file)",
        "A folder that is bound into the engine's container, {path}{other}, is not there on this node.",
        "take it out of the binds (APPTAINER_BIND, SINGULARITY_BIND, --bind), or make it on every node; one of the "
        "site's own configuration: ask the cluster's support",
        "permanent",
    ),
    Signature(
        "container",
        r"pyxis: (?:couldn't|failed|container start failed)|enroot.{0,60}(?:error|failed)|"
        r"FATAL:\s+(?:container creation failed|Unable to|could not open image|While|Image)|"
        r"apptainer.{0,40}(?:not found|No such file)|singularity.{0,40}not found|user namespace(?:s)? .{0,40}(?:disabled|"
        r"not supported)|"
        r"mount .*->.* error: while mounting",
        "The engine's container image could not be started.",
        "check `engine` (the image's path), that apptainer is there (module load apptainer), and that the folders it binds "
        "exist on the node",
        "permanent",
        role="symptom",
    ),
    Signature(
        "container_unpack",
        r"root filesystem extraction failed|create container process: Operation not permitted",
        "The container's image could be neither mounted nor unpacked on this node: squashfuse is missing, and this Apptainer "
        "may make no container of its own to unpack it (no setuid, user namespaces not allowed).",
        "the site's own apptainer (a module, with setuid or squashfuse); or unpack the image once where it works (apptainer "
        "build --sandbox FOLDER IMAGE) and name the folder in `engine`",
        "permanent",
        role="symptom",
    ),
    Signature(
        "container_failed",
        r"^FATAL:\s{2,}(?P<words>\S.*)",
        "The container could not be started: {words}",
        "mend what it names; for its temporary files and cache APPTAINER_TMPDIR and APPTAINER_CACHEDIR name "
        "folders of your own",
        "again",
        role="symptom",
    ),
)
