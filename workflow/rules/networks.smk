rule train:
    input:
        stimuli=rules.generate_stimuli.output[0],
    output:
        networks="results/{study}/networks/{experiment}/{condition}.h5",
        learning="results/{study}/tables/parts/learning/{experiment}/{condition}.csv",
    log:
        "results/{study}/logs/train/{experiment}/{condition}.log",
    benchmark:
        "results/{study}/benchmarks/train/{experiment}/{condition}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=memory_of_ensemble,
        runtime=120,
    params:
        network=settings("network"),
        training=settings("training"),
        seeds=settings("seeds"),
        device=STUDY.device,
        code=code("train.py"),
    message:
        "Train {params.seeds} networks of {wildcards.experiment}/{wildcards.condition}"
    script:
        "../scripts/train.py"


rule ensemble_activations:
    input:
        stimuli=rules.generate_stimuli.output[0],
        networks=rules.train.output.networks,
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
