rule generate_stimuli:
    input:
        code=lambda w: PLAN.code_of_stimuli(**w),
    output:
        kept("stimuli", "<results>/stimuli/{experiment}/{batch}.h5"),
    log:
        "<results>/logs/generate_stimuli/{experiment}/{batch}.log",
    benchmark:
        "<results>/benchmarks/generate_stimuli/{experiment}/{batch}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=scaled(RESOURCES.stimuli_memory),
        runtime=scaled(RESOURCES.stimuli_minutes),
    params:
        conditions=lambda w: PLAN.stimuli_of_batch(**w),
        code=code("generate_stimuli.py"),
    message:
        "Generate stimuli of {wildcards.experiment}/{wildcards.batch}"
    script:
        "../scripts/generate_stimuli.py"


if PLAN.with_images:

    rule stimuli_figure:
        input:
            [PLAN.file_of_condition("stimuli", name) for name in PLAN.shown_sets()],
        output:
            svg=report(
                "<results>/figures/stimuli.svg",
                category="Figures",
                caption="../report/figure.rst",
                labels={"figure": "stimuli"},
            ),
            csv="<results>/figures/stimuli.csv",
        log:
            "<results>/logs/stimuli_figure.log",
        benchmark:
            "<results>/benchmarks/stimuli_figure.tsv"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=fixed(NUMERIC + 1000),
            runtime=fixed(30),
        params:
            sets=lambda w: PLAN.described_sets(),
            left_out=lambda w: len(PLAN.image_sets()) - len(PLAN.shown_sets()),
            code=code("stimuli_figure.py"),
        message:
            "Draw the stimuli"
        script:
            "../scripts/stimuli_figure.py"
