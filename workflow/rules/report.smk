rule tables:
    input:
        **PLAN.parts(),
    output:
        expand("<results>/tables/{table}.csv", table=PLAN.parts()),
    log:
        "<results>/logs/tables.log",
    benchmark:
        "<results>/benchmarks/tables.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 10),
        runtime=fixed(30),
    params:
        code=code("tables.py"),
    message:
        "Gather the tables"
    script:
        "../scripts/tables.py"


if PLAN.derived():

    rule derived_tables:
        input:
            expand("<results>/tables/{table}.csv", table=PLAN.evidence_of_derived()),
        output:
            expand("<results>/tables/{table}.csv", table=PLAN.derived()),
        log:
            "<results>/logs/derived_tables.log",
        benchmark:
            "<results>/benchmarks/derived_tables.tsv"
        localrule: True
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=by_input(NUMERIC, 10),
            runtime=fixed(30),
        params:
            references=lambda w: [entry.model_dump(mode="json") for entry in STUDY.references],
            code=code("derived_tables.py"),
        message:
            "Make the tables that follow from others"
        script:
            "../scripts/derived_tables.py"


rule claims:
    input:
        expand("<results>/tables/{table}.csv", table=PLAN.evidence()),
    output:
        "<results>/tables/claims.csv",
    log:
        "<results>/logs/claims.log",
    benchmark:
        "<results>/benchmarks/claims.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 10),
        runtime=fixed(30),
    params:
        claims=STUDY.claims,
        # By functions, as Snakemake fills in what stands in braces in parameters.
        questions=lambda w: {n: q.model_dump(mode="json") for n, q in STUDY.questions.items()},
        settings=lambda w: PLAN.settings(),
        reported=lambda w: PLAN.reported_orders(),
        layers=PLAN.all_analysed_layers(),
        rdm_similarity=STUDY.geometry.rdm_similarities[0],
        code=code("claims.py"),
    message:
        "Decide the claims"
    script:
        "../scripts/claims.py"


rule resolved_config:
    output:
        report("<results>/config.yaml", category="Study", caption="../report/config.rst"),
    log:
        "<results>/logs/resolved_config.log",
    benchmark:
        "<results>/benchmarks/resolved_config.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=fixed(PLAIN),
        runtime=fixed(10),
    params:
        # By a function, as Snakemake fills in what stands in braces in parameters; as text without
        # "<", as it writes them into its own report as they are.
        study=lambda w: STUDY.model_dump_json().replace("<", "\\u003c"),
        # For its record, by which tables of an earlier configuration are known.
        tables=PLAN.tables,
        code=code("resolved_config.py"),
    message:
        "Write the configuration with every default filled in"
    script:
        "../scripts/resolved_config.py"


rule figures:
    input:
        tables=expand("<results>/tables/{table}.csv", table=PLAN.tables),
    output:
        svg=[
            report(
                f"<results>/figures/{name}.svg",
                category="Figures",
                caption="../report/figure.rst",
                labels={"figure": name},
            )
            for name in PLAN.figures()
        ],
        csv=[f"<results>/figures/{name}.csv" for name in PLAN.figures()],
    log:
        "<results>/logs/figures.log",
    benchmark:
        "<results>/benchmarks/figures.tsv"
    conda:
        ENV
    threads: 2
    resources:
        mem_mb=by_input(2 * NUMERIC, 10),
        runtime=fixed(30),
    params:
        layers=PLAN.all_analysed_layers(),
        generators=PLAN.generators(),
        reported=lambda w: PLAN.reported_orders(),
        spaces=PLAN.spaces(),
        questions=lambda w: {n: q.model_dump(mode="json") for n, q in STUDY.questions.items()},
        settings=lambda w: PLAN.settings(),
        code=code("figures.py"),
    message:
        "Draw the figures"
    script:
        "../scripts/figures.py"


rule report_page:
    input:
        tables=expand("<results>/tables/{table}.csv", table=PLAN.tables),
        figures=expand("<results>/figures/{name}.svg", name=PLAN.figures()),
        pictures=expand(
            "<results>/figures/{kind}_{recording}.svg", kind=PICTURES, recording=STUDY.recordings
        ),
        stimuli=["<results>/figures/stimuli.svg"] * bool(PLAN.with_images),
        networks=expand("<results>/figures/{name}.svg", name=PLAN.network_pictures()),
        config="<results>/config.yaml",
        template=str(PACKAGE / "report/report.html.j2"),
    output:
        report("<results>/report.html", category="Study", caption="../report/report.rst"),
    log:
        "<results>/logs/report_page.log",
    benchmark:
        "<results>/benchmarks/report_page.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 5),
        runtime=fixed(10),
    params:
        benchmarks=f"{PLAN.results}/benchmarks",
        layers=PLAN.all_analysed_layers(),
        not_pictured=lambda w: PLAN.in_words(PLAN.not_pictured()),
        trained=lambda w: PLAN.shown_networks(),
        settings=lambda w: PLAN.settings(),
        code=code("report_page.py"),
    message:
        "Write {output[0]}"
    script:
        "../scripts/report_page.py"
