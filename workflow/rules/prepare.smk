# From prompt files and model folders to the list of requests that still need an answer.


rule prepare_requests:
    input:
        files=lambda wildcards: dag.prompt_files(CAMPAIGN, wildcards.dataset),
    output:
        PATHS.manifest("{dataset}"),
    log:
        PATHS.logs / "prepare_requests" / "{dataset}.log",
    conda:
        "../envs/phases.yaml"
    resources:
        slurm_account=dag.resources.account(CAMPAIGN),
    params:
        campaign=PATHS.config,
        spec=lambda wildcards: dag.dataset_spec(CAMPAIGN, wildcards.dataset),
    message:
        "Rendering the requests of {wildcards.dataset}"
    shell:
        "campaign phase prepare-requests {params.campaign} --dataset {wildcards.dataset} --log {log}"


rule stage_model:
    input:
        files=lambda wildcards: dag.model_files(CAMPAIGN, wildcards.model),
    output:
        PATHS.model_identity("{model}"),
    log:
        PATHS.logs / "stage_model" / "{model}.log",
    conda:
        "../envs/phases.yaml"
    resources:
        slurm_account=dag.resources.account(CAMPAIGN),
    params:
        campaign=PATHS.config,
        spec=lambda wildcards: dag.model_spec(CAMPAIGN, wildcards.model),
    message:
        "Looking at the weights of {wildcards.model}"
    shell:
        "campaign phase stage-model {params.campaign} --model {wildcards.model} --log {log}"


# A checkpoint, because only this comparison knows which allocations are needed: a finished campaign needs none,
# one edited prompt needs one. What decides is the set of unanswered request keys, never a file's age.
checkpoint enqueue:
    input:
        manifests=lambda wildcards: [PATHS.manifest(d) for d in CAMPAIGN.datasets_of(wildcards.model)],
        models=lambda wildcards: dag.identities(CAMPAIGN, wildcards.model),
    output:
        PATHS.pending("{model}"),
    log:
        PATHS.logs / "enqueue" / "{model}.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
        token=lambda wildcards: dag.enqueue_trigger(CAMPAIGN, wildcards.model),
    message:
        "Comparing requests with answers of {wildcards.model}"
    shell:
        "campaign phase enqueue {params.campaign} --model {wildcards.model} --token {params.token} --log {log}"


# Only of models whose prompts are made of other models' answers: their allocations start when there are enough of these. All
# models are compared first, since under Slurm this rule keeps one of the few places that Snakemake has for local rules.
rule await_source:
    input:
        pending=[PATHS.pending(model) for model in CAMPAIGN.used_models],
        before=awaited_before,
    output:
        PATHS.awaited("{model}", "{round}"),
    log:
        PATHS.logs / "await_source" / "{model}-{round}.log",
    # It fails where a source ended without all of its answers, and not by chance.
    retries: 0
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Waiting for answers that the prompts of {wildcards.model} are made of"
    shell:
        "campaign phase await-source {params.campaign} --model {wildcards.model} --round {wildcards.round} --log {log}"
