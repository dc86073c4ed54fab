"""Installing packages: conda, pip and uv."""

from campaign.explain.signature import Signature

PACKAGES = (
    Signature(
        "package_download",
        r"(?:Failed to fetch|Failed to download(?: and build)?): ?`|Failed to download and build `|"
        r"tls handshake eof|Could not fetch URL https?://|CondaHTTPError|Download error \(\d+\)",
        "Packages cannot be downloaded: no connection, or a proxy.",
        "make the environment where the internet is reached (make engine on a login node), or set HTTPS_PROXY",
        "again",
    ),
    Signature(
        "wheel_platform",
        r"No solution found when resolving dependencies|is not a supported wheel on this platform",
        "A package has no wheel for this machine: another architecture (aarch64), an older glibc, or another Python.",
        "a version or index that has one (uv names for which platforms there are wheels), another Python (uv venv --python), "
        "or a container's image as `engine`",
        "permanent",
        beside=r"matching (?:platform|Python (?:ABI|implementation|version)) tag|Wheels are available for|"
        r"not a supported wheel on this",
    ),
    Signature(
        "package_versions",
        r"No solution found when resolving dependencies|ResolutionImpossible|"
        r"(?:ResolvePackageNotFound|UnsatisfiableError|LibMambaUnsatisfiableError)\b|"
        r"Could not find a version that satisfies the requirement",
        "The versions of packages that are asked for exclude each other, or are not on the index.",
        "the versions that vLLM pins: make engine; of several indexes uv takes the first that has a package "
        "(--index-strategy unsafe-best-match)",
        "permanent",
    ),
    Signature(
        "build_module_missing",
        r"The build backend returned an error|error: (?:subprocess-exited-with-error|metadata-generation-failed)",
        "A package could not be built: what its build imports (torch, wheel, setuptools or packaging) is not there.",
        "pip install torch wheel setuptools packaging ninja first, then the package with --no-build-isolation; or a version "
        "that has a ready wheel (make engine)",
        "permanent",
        role="symptom",
        beside=r"ModuleNotFoundError: No module named '(?:torch|wheel|setuptools|packaging|psutil|numpy)'",
    ),
    Signature(
        "package_build_failed",
        r"Failed building (?:wheel|editable) for|Failed to build `|The build backend returned an error|"
        r"error: (?:subprocess-exited-with-error|metadata-generation-failed)|Could not build wheels for",
        "A package has no ready wheel for this machine or Python and could not be built; the compiler's own error stands in "
        "the lines of its output (Killed there: memory used up).",
        "versions of Python, torch and CUDA for which it has wheels: make engine; if it must be built, the CUDA toolkit and "
        "gcc of a module, MAX_JOBS=4 against used up memory, in a job instead of on a login node",
        "permanent",
        role="symptom",
    ),
    Signature(
        "venv_without_pip",
        r"was not created successfully because ensurepip|No module named '?ensurepip",
        "This Python makes no environment: its package for that (python3-venv) is not installed.",
        "uv venv, or the Python of a module or of conda; in an image apt install python3-venv",
        "permanent",
    ),
    Signature(
        "python_of_the_system",
        r"externally-managed-environment|This environment is externally managed",
        "pip may not install into the system's own Python.",
        "make an environment of your own first (python -m venv, uv venv), and install there",
        "permanent",
    ),
    Signature(
        "conda_not_set_up",
        r"CondaError: Run 'conda init' before|Your shell has not been properly configured to use 'conda activate'|"
        r"conda: error: argument COMMAND: invalid choice: '(?:de)?activate'",
        "`conda activate` does not work in a job's shell before conda is set up there.",
        'eval "$(conda shell.bash hook)" before it, or name the environment\'s python in `engine`',
        "permanent",
    ),
    Signature(
        "conda_no_environment",
        r"Environment(?:Name|Location)NotFound: (?:Could not find conda environment: |Not a conda environment: )?(?P<name>\S+)|"
        r"Could not find conda environment: (?P<path>\S+)",
        "There is no such environment of conda here: {name}{path}",
        "conda info --envs lists those of this conda (another module or user has others); name its folder (conda activate "
        "/path), on a disk that the nodes see",
        "permanent",
    ),
    Signature(
        "python_version_missing",
        r"No interpreter found for ",
        "uv finds no Python of the version that is asked for.",
        "uv python install VERSION where the internet is reached (a login node), or the site's Python module and --python",
        "permanent",
    ),
    Signature(
        "conda_not_writable",
        r"NotWritableError|EnvironmentNotWritableError",
        "conda may not write a file or folder (the line below names it): compute nodes may only read it, or it "
        "has another owner.",
        "make the environment where it can be written, or set HOME or CONDA_PKGS_DIRS to a folder of your own",
        "permanent",
    ),
    Signature(
        "conda_package",
        r"CondaVerificationError|CorruptedEnvironmentError|ChecksumMismatchError",
        "A package in conda's cache is incomplete.",
        "conda clean --packages --tarballs, then install again",
        "permanent",
    ),
    Signature(
        "sound_library",
        r"sndfile library not found|cannot load library '[^']*libsndfile",
        "The library that reads sound files (libsndfile) is missing.",
        "pip install -U soundfile in the engine's environment brings it (vllm[audio] names all that sounds need); in an image "
        "apt install libsndfile1",
        "permanent",
    ),
    Signature(
        "openmp_twice",
        r"OMP: Error #15",
        "Two libraries of OpenMP are loaded in one process.",
        'packages of one source (conda or pip): make engine; as a test env: {KMP_DUPLICATE_LIB_OK: "TRUE"}',
        "permanent",
    ),
)
