# What will be asked of what. No rule waits for it: what cannot work is refused before the first job (rules/common.smk), and as an
# input, even an ancient one, a plan that is made again hides changed params of the jobs behind it (Snakemake 9.27).


rule plan:
    output:
        # Not removed while it is made again: a campaign that runs meanwhile looks for it at its end.
        update(PATHS.plan),
    log:
        PATHS.logs / "plan.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=lambda wildcards: dag.plan_config(CAMPAIGN, targets()),
        config=lambda wildcards: dag.plan_fingerprint(CAMPAIGN, targets()),
    message:
        "Checking the plan"
    shell:
        "campaign phase plan {params.campaign} --log {log}"
