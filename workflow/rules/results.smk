# From answers to tables and the report.


rule collect:
    input:
        allocations=finished_allocations,
        pending=[PATHS.pending(model) for model in CAMPAIGN.used_models],
    output:
        PATHS.collected,
    log:
        PATHS.logs / "collect.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Checking that every prompt has exactly one answer"
    shell:
        "campaign phase collect {params.campaign} --log {log}"


rule gather_benchmarks:
    input:
        finished_allocations,
    output:
        PATHS.benchmarks,
    log:
        PATHS.logs / "gather_benchmarks.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Gathering the benchmark points"
    shell:
        "campaign phase gather-benchmarks {params.campaign} --log {log}"


rule account:
    input:
        finished_allocations,
    output:
        PATHS.accounting,
    log:
        PATHS.logs / "account.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=lambda wildcards: dag.account_arguments(CAMPAIGN),
    message:
        "Accounting for every run"
    shell:
        "campaign phase account {params.campaign} --log {log}"


# Not an input: collected.json. When too many requests failed, collect fails, and the report is what explains why.
rule write_report:
    input:
        allocations=finished_allocations,
        pending=[PATHS.pending(model) for model in CAMPAIGN.used_models],
        accounting=rules.account.output,
        benchmarks=rules.gather_benchmarks.output,
    output:
        html=report(PATHS.report, category="Report", caption="../report/report.rst"),
        plots=[
            report(
                PATHS.root / "report" / f"{plot}.svg", category="Plots", caption=f"../report/{plot}.rst", labels={"plot": plot}
            )
            for plot in dag.PLOTS
        ],
    log:
        PATHS.logs / "write_report.log",
    conda:
        "../envs/phases.yaml"
    params:
        campaign=PATHS.config,
    message:
        "Writing the report"
    shell:
        "campaign phase report {params.campaign} --log {log}"
