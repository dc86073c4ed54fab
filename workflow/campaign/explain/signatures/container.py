"""Containers of the engine: Apptainer, Singularity, Pyxis with Enroot."""

from campaign.explain.signature import Signature

CONTAINER = (
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
        "container_image",
        r"bad superblock for squashfs",
        "The container's image is damaged, or compressed in a way that this node's kernel does not read.",
        "copy or pull the image again; else build it with gzip (apptainer build --mksquashfs-args='-comp gzip')",
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
