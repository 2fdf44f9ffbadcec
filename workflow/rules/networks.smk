rule train:
    input:
        stimuli=["results/{study}/stimuli/{experiment}/{condition}.h5"],
    output:
        networks=["results/{study}/networks/{experiment}/{condition}.h5"],
        learning=["results/{study}/tables/parts/learning/{experiment}/{condition}.csv"],
    log:
        "results/{study}/logs/train/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/train/{experiment}/{condition}.tsv"
    wildcard_constraints:
        experiment=names(STUDY.experiments.keys() - SWEEPS),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_ensemble,
        runtime=120,
    params:
        conditions=lambda w: training_settings(w.experiment, [w.condition]),
        device=STUDY.device,
        code=code("train.py"),
    message:
        "Train networks of {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/train.py"


# An experiment with `one_job: true` is trained by a rule of its own: its outputs are all conditions.
for SWEEP in SWEEPS:

    rule:
        name:
            f"train_{SWEEP}"
        input:
            stimuli=expand("results/{{study}}/stimuli/{e}/{c}.h5", e=SWEEP, c=GROUPS[SWEEP]),
        output:
            networks=expand("results/{{study}}/networks/{e}/{c}.h5", e=SWEEP, c=GROUPS[SWEEP]),
            learning=expand(
                "results/{{study}}/tables/parts/learning/{e}/{c}.csv", e=SWEEP, c=GROUPS[SWEEP]
            ),
        log:
            f"results/{{study}}/logs/train/{SWEEP}.log",
        benchmark:
            f"results/{{study}}/benchmarks/train/{SWEEP}.tsv"
        # The longest sweeps first, so that none is left alone at the end.
        priority: SWEEPS[SWEEP]
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            conditions=training_settings(SWEEP, GROUPS[SWEEP]),
            device=STUDY.device,
            code=code("train.py"),
        message:
            f"Train all networks of {SWEEP}"
        script:
            "../scripts/train.py"


rule ensemble_activations:
    input:
        stimuli=rules.generate_stimuli.output[0],
        networks="results/{study}/networks/{experiment}/{condition}.h5",
    output:
        "results/{study}/activations/{experiment}/{condition}.h5",
    log:
        "results/{study}/logs/ensemble_activations/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/ensemble_activations/{experiment}/{condition}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_ensemble,
        runtime=30,
    params:
        network=settings("network"),
        code=code("ensemble_activations.py"),
    message:
        "Write activations of {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/ensemble_activations.py"


rule model_activations:
    input:
        images=lambda w: STUDY.images[w.images].input_files(),
        code=lambda w: STUDY.networks[w.network].source_files(),
    output:
        "results/{study}/activations/{images}/{network}.h5",
    log:
        "results/{study}/logs/model_activations/{images}/{network}.log",
    benchmark:
        "results/{study}/benchmarks/model_activations/{images}/{network}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        network=lambda w: STUDY.networks[w.network].model_dump(mode="json"),
        device=STUDY.device,
        code=code("model_activations.py"),
    message:
        "Run {wildcards.network} on {wildcards.images}"
    script:
        "../scripts/model_activations.py"
