rule rdms:
    input:
        "results/{study}/activations/{group}/{member}.h5",
    output:
        "results/{study}/rdms/{group}/{member}.h5",
    log:
        "results/{study}/logs/rdms/{group}/{member}.log",
    benchmark:
        "results/{study}/benchmarks/rdms/{group}/{member}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        distance=STUDY.geometry.distance,
        # Every image of a set is used; of generated stimuli the first n.
        n_stimuli=lambda w: STUDY.geometry.n_stimuli if w.group in STUDY.experiments else None,
        code=code("rdms.py"),
    message:
        "Compute RDMs of {wildcards.group}/{wildcards.member}"
    script:
        "../scripts/rdms.py"


rule rsa_models:
    input:
        lambda w: [f"results/{w.study}/rdms/{w.group}/{member}.h5" for member in GROUPS[w.group]],
    output:
        "results/{study}/tables/parts/rsa_models/{group}.csv",
    log:
        "results/{study}/logs/rsa_models/{group}.log",
    benchmark:
        "results/{study}/benchmarks/rsa_models/{group}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        members=lambda w: GROUPS[w.group],
        comparators=STUDY.geometry.comparators,
        distance=STUDY.geometry.distance,
        code=code("rsa_models.py"),
    message:
        "Compare all networks of {wildcards.group}"
    script:
        "../scripts/rsa_models.py"


rule similarity:
    input:
        lambda w: expand(
            "results/{study}/activations/{experiment}/{condition}.h5",
            study=w.study,
            experiment=w.experiment,
            condition=GROUPS[w.experiment],
        ),
    output:
        "results/{study}/tables/parts/similarity/{experiment}.csv",
    log:
        "results/{study}/logs/similarity/{experiment}.log",
    benchmark:
        "results/{study}/benchmarks/similarity/{experiment}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        layers=lambda w: layers_of({c: (w.experiment, c) for c in GROUPS[w.experiment]}),
        similarity=STUDY.similarity.model_dump(mode="json"),
        code=code("similarity.py"),
    message:
        "Compare all networks of {wildcards.experiment} by many measures"
    script:
        "../scripts/similarity.py"


if STUDY.identification:

    rule identification:
        input:
            expand(
                "results/{{study}}/activations/{condition}.h5",
                condition=STUDY.identification.candidates,
            ),
        output:
            "results/{study}/tables/identification.csv",
        log:
            "results/{study}/logs/identification.log",
        benchmark:
            "results/{study}/benchmarks/identification.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=4000,
            runtime=120,
        params:
            layers=layers_of({c: tuple(c.split("/", 1)) for c in STUDY.identification.candidates}),
            identification=STUDY.identification.model_dump(mode="json"),
            code=code("identification.py"),
        message:
            "Ask which similarity measure names the network that computes the same"
        script:
            "../scripts/identification.py"
