# A server to talk to, until it is stopped (campaign stop) or its walltime ends: snakemake --profile ... session


rule hold:
    input:
        rules.stage_model.output,
    output:
        f"{ALLOCATION}/held.json",
    log:
        f"{ALLOCATION_LOG}/hold.log",
    # A session that ended is not started again behind one's back.
    retries: 0
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "hold"),
        server=1,
    params:
        campaign=PATHS.config,
        asked=lambda wildcards: dag.plan_fingerprint(CAMPAIGN, targets()),
    message:
        "A session with {wildcards.model}"
    shell:
        "campaign phase hold {params.campaign} --model {wildcards.model} --log {log}"


rule session:
    input:
        dag.session_markers(CAMPAIGN),
    log:
        PATHS.logs / "session.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Accounting for the session"
    shell:
        "campaign phase account {params.campaign} --log {log}"
