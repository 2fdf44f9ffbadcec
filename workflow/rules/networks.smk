rule train:
    input:
        stimuli="<results>/stimuli/{experiment}/{batch}.h5",
        sources=lambda w: PLAN.sources_of_batch(**w),
        code=lambda w: PLAN.code_of_batch(**w),
    output:
        networks=kept("networks", "<results>/networks/{experiment}/{batch}.h5"),
        learning="<results>/tables/parts/learning/{experiment}/{batch}.csv",
    log:
        "<results>/logs/train/{experiment}/{batch}.log",
    benchmark:
        "<results>/benchmarks/train/{experiment}/{batch}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.training_memory),
        runtime=scaled(RESOURCES.training_minutes),
    params:
        conditions=lambda w: PLAN.training_of_batch(**w),
        device=STUDY.device,
        recipe={n: value for n, value in CODE.items() if n.startswith(("training ", "stimuli "))},
        code=code("train.py"),
    message:
        "Train networks of {wildcards.experiment}/{wildcards.batch}"
    script:
        "../scripts/train.py"


rule analyse_networks:
    input:
        stimuli="<results>/stimuli/{experiment}/{batch}.h5",
        networks="<results>/networks/{experiment}/{batch}.h5",
        code=lambda w: PLAN.code_of_batch(**w),
    output:
        # One that the experiment does not ask for is empty.
        **{a: f"<results>/tables/parts/{a}/{{experiment}}/{{batch}}.csv" for a in OF_NETWORKS},
    log:
        "<results>/logs/analyse_networks/{experiment}/{batch}.log",
    benchmark:
        "<results>/benchmarks/analyse_networks/{experiment}/{batch}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.networks_memory),
        runtime=scaled(RESOURCES.networks_minutes),
    params:
        conditions=lambda w: PLAN.networks_of_batch(**w, with_analysed_layer=True),
        analyses=lambda w: PLAN.analyses_of(w.experiment),
        device=STUDY.device,
        code=code("analyse_networks.py"),
    message:
        "Analyse networks of {wildcards.experiment}/{wildcards.batch}"
    script:
        "../scripts/analyse_networks.py"


rule activations:
    input:
        stimuli="<results>/stimuli/{experiment}/{batch}.h5",
        networks="<results>/networks/{experiment}/{batch}.h5",
        code=lambda w: PLAN.code_of_batch(**w),
    output:
        kept("activations", "<results>/activations/{experiment}/{batch}.h5"),
    log:
        "<results>/logs/activations/{experiment}/{batch}.log",
    benchmark:
        "<results>/benchmarks/activations/{experiment}/{batch}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.networks_memory),
        runtime=scaled(RESOURCES.networks_minutes),
    params:
        conditions=lambda w: PLAN.networks_of_batch(**w),
        device=STUDY.device,
        code=code("activations.py"),
    message:
        "Write activations of {wildcards.experiment}/{wildcards.batch}"
    script:
        "../scripts/activations.py"


rule model_activations:
    input:
        images=lambda w: STUDY.images[w.images].input_files(),
        code=lambda w: STUDY.networks[w.network].source_files(),
    output:
        kept("activations", "<results>/activations/{images}/{network}.h5"),
    log:
        "<results>/logs/model_activations/{images}/{network}.log",
    benchmark:
        "<results>/benchmarks/model_activations/{images}/{network}.tsv"
    wildcard_constraints:
        network=names(
            STUDY.networks.keys() - PLAN.shown_networks().keys() - STUDY.computed().keys()
        ),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=fixed(4000),  # what a model takes is not known
        runtime=fixed(120),
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        network=lambda w: STUDY.networks[w.network].model_dump(mode="json"),
        device=STUDY.device,
        code=code("model_activations.py"),
    message:
        "Run {wildcards.network} on {wildcards.images}"
    script:
        "../scripts/model_activations.py"


rule read_model:
    input:
        images=lambda w: STUDY.images[w.images].input_files(),
        model=lambda w: STUDY.networks[w.network].input_files(),
    output:
        kept("activations", "<results>/activations/{images}/{network}.h5"),
    log:
        "<results>/logs/read_model/{images}/{network}.log",
    benchmark:
        "<results>/benchmarks/read_model/{images}/{network}.tsv"
    wildcard_constraints:
        network=names(STUDY.computed()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(TORCH, 3),
        runtime=by_input(30, 0.1),
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        network=lambda w: STUDY.networks[w.network].model_dump(mode="json"),
        code=code("read_model.py"),
    message:
        "Read {wildcards.network}, of {wildcards.images}"
    script:
        "../scripts/read_model.py"


if PLAN.with_images:

    rule network_pictures:
        input:
            stimuli=lambda w: PLAN.file_of("stimuli", w.experiment, w.condition),
            networks=lambda w: PLAN.file_of("networks", w.experiment, w.condition),
            activations=lambda w: PLAN.file_of("activations", w.experiment, w.condition),
            units=lambda w: PLAN.units_of(w.experiment, w.condition),
        output:
            svg=[
                report(
                    f"<results>/figures/{kind}/{{experiment}}/{{condition}}.svg",
                    category="Figures",
                    caption="../report/figure.rst",
                    labels={"figure": f"{kind} of {{experiment}}/{{condition}}"},
                )
                for kind in NETWORK_PICTURES
            ],
            csv=[
                f"<results>/figures/{kind}/{{experiment}}/{{condition}}.csv"
                for kind in NETWORK_PICTURES
            ],
        log:
            "<results>/logs/network_pictures/{experiment}/{condition}.log",
        benchmark:
            "<results>/benchmarks/network_pictures/{experiment}/{condition}.tsv"
        wildcard_constraints:
            condition=names(condition for _, condition in PLAN.with_images),
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=scaled(RESOURCES.pictures_memory),
            runtime=fixed(30),
        params:
            layer=lambda w: PLAN.conditions[w.experiment, w.condition].network.analysed,
            names_of_values=lambda w: PLAN.values_of(w.experiment, w.condition),
            distance=STUDY.geometry.distance,
            n_stimuli=STUDY.geometry.n_stimuli,
            code=code("network_pictures.py"),
        message:
            "Draw what a network of {wildcards.experiment}/{wildcards.condition} sees"
        script:
            "../scripts/network_pictures.py"


if PLAN.attended:

    rule attention:
        input:
            stimuli=[PLAN.file_of("stimuli", *key) for key in PLAN.attended],
            networks=[PLAN.file_of("networks", *key) for key in PLAN.attended],
        output:
            svg=[
                report(
                    f"<results>/figures/attention/{experiment}/{condition}.svg",
                    category="Figures",
                    caption="../report/figure.rst",
                    labels={"figure": f"attention of {experiment}/{condition}"},
                )
                for experiment, condition in PLAN.attended
            ],
            csv=[f"<results>/figures/attention/{e}/{c}.csv" for e, c in PLAN.attended],
        log:
            "<results>/logs/attention.log",
        benchmark:
            "<results>/benchmarks/attention.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=by_input(TORCH, 5),
            runtime=fixed(30),
        params:
            conditions=lambda w: PLAN.attended_conditions(),
            code=code("attention.py"),
        message:
            "Draw what tokens attend to"
        script:
            "../scripts/attention.py"


rule shown_activations:
    input:
        images=lambda w: STUDY.images[w.images].input_files(),
        networks=lambda w: PLAN.file_of_condition("networks", STUDY.networks[w.network].condition),
        code=lambda w: PLAN.shown_networks()[w.network]["code"],
    output:
        kept("activations", "<results>/activations/{images}/{network}.h5"),
    log:
        "<results>/logs/shown_activations/{images}/{network}.log",
    benchmark:
        "<results>/benchmarks/shown_activations/{images}/{network}.tsv"
    wildcard_constraints:
        network=names(PLAN.shown_networks()),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(TORCH, 5),
        runtime=fixed(120),
    params:
        images=lambda w: STUDY.images[w.images].model_dump(mode="json"),
        trained=lambda w: PLAN.shown_networks()[w.network],
        device=STUDY.device,
        code=code("shown_activations.py"),
    message:
        "Show {wildcards.images} to {wildcards.network}"
    script:
        "../scripts/shown_activations.py"


if STUDY.encryption:
    ENCRYPTED = STUDY.condition(STUDY.encryption)

    rule encryption:
        input:
            PLAN.file_of_condition("stimuli", STUDY.encryption),
        output:
            "<results>/tables/parts/encryption/all.csv",
        log:
            "<results>/logs/encryption.log",
        benchmark:
            "<results>/benchmarks/encryption.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=by_input(TORCH, 20),
            runtime=fixed(30),
        params:
            condition=STUDY.encryption,
            stimuli=ENCRYPTED.stimuli.model_dump(mode="json"),
            seeds=ENCRYPTED.seeds,
            code=code("encryption.py"),
        message:
            "Analyse computations under encryption"
        script:
            "../scripts/encryption.py"
