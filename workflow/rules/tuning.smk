# Which settings answer most, found while prompts of the campaign are answered: snakemake --profile ... --config tune=true


rule tune:
    input:
        lambda wildcards: checkpoints.enqueue.get(model=wildcards.model).output[0],
    output:
        f"{ALLOCATION}/tuned.json",
    log:
        f"{ALLOCATION_LOG}/tune.log",
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "tune"),
        server=1,
    params:
        campaign=PATHS.config,
        spec=lambda wildcards: dag.tuning_spec(CAMPAIGN, wildcards.model),
    message:
        "Looking for the best settings of {wildcards.model}"
    shell:
        "campaign phase tune {params.campaign} --model {wildcards.model} --log {log}"


rule tuning:
    input:
        [PATHS.tuned(model) for model in CAMPAIGN.used_models],
    output:
        PATHS.tuning,
    log:
        PATHS.logs / "tuning.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Writing what to put into the config"
    shell:
        "campaign phase tuning {params.campaign} --log {log}"
