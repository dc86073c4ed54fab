# Refuse what cannot work before anything is started.


rule plan:
    output:
        PATHS.plan,
    log:
        PATHS.logs / "plan.log",
    params:
        config=lambda wildcards: dag.plan_fingerprint(CAMPAIGN, workflow.dag_settings.targets),
    message:
        "Checking the plan"
    shell:
        "campaign phase plan {PATHS.config} --log {log}"
