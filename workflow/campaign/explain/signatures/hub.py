"""The hub, and names that it does not know."""

from campaign.explain.signature import Signature

HUB = (
    Signature(
        "proxy",
        r"ProxyError|Tunnel connection failed|407 Proxy Authentication Required",
        "A proxy stands in the way, and does not let the connection through.",
        "correct http_proxy and https_proxy, or take them out of the environment; env: {no_proxy: '*'} for what stays inside",
        "permanent",
    ),
    Signature(
        "hub_gated",
        r"GatedRepoError|Access to model .* is restricted|gated repo|"
        r"awaiting a review from the repo authors|Cannot access gated repo",
        "The model is gated: the hub wants a token of a user who accepted its licence.",
        "accept the licence on the model's page and set HF_TOKEN, or stage the model by hand",
        "permanent",
    ),
    Signature(
        "hub_unauthorized",
        r"401 Client Error.*(?:huggingface|hf\.co)",
        "The hub does not show this model without a right: it is gated or private, it does not exist, or the token is "
        "not valid.",
        "check the name in models.<name>.source; accept the licence on the model's page and set HF_TOKEN; or stage the "
        "model by hand",
        "permanent",
        role="symptom",
    ),
    Signature(
        "hub_token",
        r"Invalid (?:user )?token|token .* (?:is )?(?:invalid|expired)|401 Unauthorized.*huggingface\.co|"
        r"Invalid credentials in Authorization header",
        "The hub refuses the token.",
        "make a new one on huggingface.co/settings/tokens and set HF_TOKEN",
        "permanent",
        inside=r"huggingface_hub|transformers|hub",
    ),
    Signature(
        "no_model_folder",
        r"(?P<path>/[^\s'`]+)['`]? is not a local folder and is not a valid model identifier|"
        r"^(?!Error retrieving ).*Repo id must[^\n]*: '(?P<other>/[^']+)'",
        "There is no folder {path}{other} on this node, or it has no config.json, so it was taken for a name of the hub.",
        "correct models.<name>.source, or put the model where every compute node sees it",
        "permanent",
    ),
    Signature(
        "hub_no_such_model",
        r"RepositoryNotFoundError|is not a local folder and is not a valid model identifier|RevisionNotFoundError|"
        r"is not a valid git identifier|Revision Not Found",
        "The hub knows no such model or revision (or shows it only to those who may see it).",
        "correct models.<name>.source and revision; a private model needs HF_TOKEN",
        "permanent",
    ),
    Signature(
        "hub_rate_limit",
        r"429 Client Error.*(?:huggingface|hf\.co)|\(429 Too Many Requests\).*(?:xethub|huggingface|hf\.co)|"
        r"Too Many Requests for url: https://huggingface|rate limit.*huggingface",
        "The hub limits the number of requests.",
        "set HF_TOKEN, and wait some minutes; a staged model asks nothing of the hub",
        "again",
    ),
    Signature(
        "tls_certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "The certificate of the other side is not trusted here: mostly a proxy of the site stands between and signs with "
        "its own.",
        "name the site's certificates: env: {SSL_CERT_FILE: file, REQUESTS_CA_BUNDLE: file}; or stage the model by hand",
        "permanent",
    ),
    Signature(
        "hub_unavailable",
        r"5\d\d Server Error.*(?:huggingface|hf\.co)|(?:huggingface|hf\.co).*Read timed out",
        "The model hub (or the way to it) did not answer in time.",
        "start again later; a staged model asks nothing of the hub",
        "again",
    ),
    Signature(
        "hub_offline",
        r"outgoing traffic has been disabled|LocalEntryNotFoundError|OfflineModeIsEnabled|"
        r"(?:couldn't|could not|can't) connect to 'https://huggingface|HF_HUB_OFFLINE=1|"
        r"Cannot find the requested files in the (?:disk|local) cache|Cannot reach https://huggingface|"
        r"(?:Max retries exceeded|Name or service not known|Temporary failure in name resolution|"
        r"Network is unreachable).*huggingface|"
        r"huggingface\.co.*(?:Max retries exceeded|Name or service not known|Network is unreachable)",
        "The server wanted to download from the model hub, which it may not (or cannot) while it is billed.",
        "stage the whole model first, tokenizer, chat template and draft model included, and name its folder in `source`",
        "permanent",
    ),
    Signature(
        "git_lfs_limit",
        r"exceeded its LFS budget|batch response: [Rr]ate limit exceeded",
        "The server gives out no more large files (Git LFS) of this repository for now: its allowance is used up.",
        "download it from another place (a release, the model hub), or wait for the next month; "
        "GIT_LFS_SKIP_SMUDGE=1 fetches the rest without them",
        "again",
    ),
    Signature(
        "hub_client_closed",
        r"Cannot send a request, as the client has been closed",
        "The connection to the model hub had failed before this request; an earlier error says why.",
        "stage the whole model first, and name its folder in `source`",
        "again",
        role="symptom",
    ),
    Signature(
        "tiktoken_download",
        r"openaipublic\.blob\.core\.windows\.net|HarmonyError: error downloading or loading vocab file|"
        r"tiktoken.*(?:download|Connection)",
        "The tokenizer's vocabulary is downloaded at start (tiktoken, openai-harmony), and there is no way out from here.",
        "download o200k_base.tiktoken and cl100k_base.tiktoken once into a folder and name it: "
        "env: {TIKTOKEN_ENCODINGS_BASE: folder, TIKTOKEN_RS_CACHE_DIR: folder}",
        "permanent",
    ),
    Signature(
        "hub_download_interrupted",
        r"Consistency check failed: file should be of size|IncompleteRead\(|ChunkedEncodingError|Connection broken: |"
        r"File reconstruction error|CAS (?:service )?error|cas-server|hf_xet.*[Ee]rror|hf_transfer.*[Ee]rror|"
        r"[Dd]ownloading using `hf_transfer`",
        "The download of the model broke off: the connection, a proxy, or the hub's storage service.",
        "start again, it goes on where it was; as a test HF_HUB_DISABLE_XET=1 or HF_HUB_ENABLE_HF_TRANSFER=0",
        "again",
    ),
)
