# Refuse what cannot work before anything is started.


rule plan:
    output:
        PATHS.plan,
    log:
        PATHS.logs / "plan.log",
    conda:
        "../../environment.yml"
    params:
        campaign=PATHS.config,
        config=lambda wildcards: dag.plan_fingerprint(CAMPAIGN, workflow.dag_settings.targets),
    message:
        "Checking the plan"
    shell:
        "campaign phase plan {params.campaign} --log {log}"
