# The life of one allocation: bring_up -> ready -> infer -> benchmark -> tear_down.
# Under Slurm they are one group, hence one job (see the profile); what it asks for comes from the model's placement.
# Locally the phases run one after the other: each holds the only `server`, and the later phase has the higher priority,
# so that one server is torn down before the next is brought up.


rule bring_up:
    input:
        rules.enqueue.output,
        lambda wildcards: dag.awaits(CAMPAIGN, wildcards.model, int(wildcards.allocation)),
    output:
        f"{ALLOCATION}/started.json",
    log:
        f"{ALLOCATION_LOG}/bring_up.log",
    priority: 10
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "bring_up"),
        server=1,
    params:
        campaign=PATHS.config,
    message:
        "Starting the server of {wildcards.model}, allocation {wildcards.allocation}"
    shell:
        "campaign phase bring-up {params.campaign} --model {wildcards.model} --allocation {wildcards.allocation} --log {log}"


rule ready:
    input:
        rules.bring_up.output,
    output:
        f"{ALLOCATION}/ready.json",
    log:
        f"{ALLOCATION_LOG}/ready.log",
    priority: 20
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "ready"),
        server=1,
    params:
        campaign=PATHS.config,
    message:
        "Waiting for the first answer of {wildcards.model}, allocation {wildcards.allocation}"
    shell:
        "campaign phase ready {params.campaign} --model {wildcards.model} --allocation {wildcards.allocation} --log {log}"


rule infer:
    input:
        rules.ready.output,
    output:
        f"{ALLOCATION}/answered.json",
    log:
        f"{ALLOCATION_LOG}/infer.log",
    priority: 30
    # A second try starts a server of its own if the first one's is gone, and asks only what is unanswered.
    # Under Slurm the whole group is repeated, as often as the profile says for the other phases.
    retries: 0 if CONTEXT.on_slurm else 1
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "infer"),
        server=1,
    params:
        campaign=PATHS.config,
    message:
        "Answering with {wildcards.model}, allocation {wildcards.allocation}"
    shell:
        "campaign phase infer {params.campaign} --model {wildcards.model} --allocation {wildcards.allocation} --log {log}"


rule benchmark:
    input:
        rules.infer.output,
    output:
        f"{ALLOCATION}/benchmarked.json",
    log:
        f"{ALLOCATION_LOG}/benchmark.log",
    priority: 40
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "benchmark"),
        server=1,
    params:
        campaign=PATHS.config,
    message:
        "Measuring {wildcards.model}, allocation {wildcards.allocation}"
    shell:
        "campaign phase benchmark {params.campaign} --model {wildcards.model} --allocation {wildcards.allocation} --log {log}"


rule tear_down:
    input:
        rules.benchmark.output,
    output:
        f"{ALLOCATION}/done.json",
    log:
        f"{ALLOCATION_LOG}/tear_down.log",
    priority: 50
    conda:
        "../envs/phases.yaml"
    resources:
        **dag.phase_resources(CAMPAIGN, "tear_down"),
        server=1,
    params:
        campaign=PATHS.config,
    message:
        "Stopping the server of {wildcards.model}, allocation {wildcards.allocation}"
    shell:
        "campaign phase tear-down {params.campaign} --model {wildcards.model} --allocation {wildcards.allocation} --log {log}"
