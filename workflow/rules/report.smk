rule gather_table:
    input:
        lambda w: [
            f"results/{w.study}/tables/parts/{w.table}/{part}.csv" for part in PARTS[w.table]
        ],
    output:
        "results/{study}/tables/{table}.csv",
    log:
        "results/{study}/logs/gather_table/{table}.log",
    benchmark:
        "results/{study}/benchmarks/gather_table/{table}.tsv"
    wildcard_constraints:
        table=names(PARTS),
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 10),
        runtime=fixed(10),
    params:
        code=code("gather_table.py"),
    message:
        "Gather table {wildcards.table}"
    script:
        "../scripts/gather_table.py"


rule claims:
    input:
        expand("results/{{study}}/tables/{table}.csv", table=EVIDENCE),
    output:
        "results/{study}/tables/claims.csv",
    log:
        "results/{study}/logs/claims.log",
    benchmark:
        "results/{study}/benchmarks/claims.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 10),
        runtime=fixed(30),
    params:
        claims=STUDY.claims,
        layers={f"{e}/{c}": spec.network.analysed for (e, c), spec in CONDITIONS.items()},
        rdm_similarity=STUDY.geometry.rdm_similarities[0],
        code=code("claims.py"),
    message:
        "Decide the claims"
    script:
        "../scripts/claims.py"


rule model_recovery:
    input:
        rsa="results/{study}/tables/rsa_recordings.csv",
        encoding="results/{study}/tables/encoding.csv",
    output:
        "results/{study}/tables/model_recovery.csv",
    log:
        "results/{study}/logs/model_recovery.log",
    benchmark:
        "results/{study}/benchmarks/model_recovery.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 10),
        runtime=fixed(10),
    params:
        simulated={n: spec.model_dump(mode="json") for n, spec in STUDY.simulated().items()},
        code=code("model_recovery.py"),
    message:
        "Ask whether RSA and encoding name the generating layer"
    script:
        "../scripts/model_recovery.py"


rule encoding_regions:
    input:
        "results/{study}/tables/encoding.csv",
    output:
        "results/{study}/tables/encoding_regions.csv",
    log:
        "results/{study}/logs/encoding_regions.log",
    benchmark:
        "results/{study}/benchmarks/encoding_regions.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 10),
        runtime=fixed(10),
    params:
        code=code("encoding_regions.py"),
    message:
        "Summarise encoding by region"
    script:
        "../scripts/encoding_regions.py"


rule references:
    input:
        expand(
            "results/{{study}}/tables/{table}.csv",
            table=[
                t for t in ("quality", "rsa_recordings", "rsa_between_recordings") if t in TABLES
            ],
        ),
    output:
        "results/{study}/tables/references.csv",
    log:
        "results/{study}/logs/references.log",
    benchmark:
        "results/{study}/benchmarks/references.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 10),
        runtime=fixed(10),
    params:
        references=lambda w: [reference.model_dump(mode="json") for reference in STUDY.references],
        code=code("references.py"),
    message:
        "Compare with published numbers"
    script:
        "../scripts/references.py"


rule resolved_config:
    output:
        report("results/{study}/config.yaml", category="Study", caption="../report/config.rst"),
    log:
        "results/{study}/logs/resolved_config.log",
    benchmark:
        "results/{study}/benchmarks/resolved_config.tsv"
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
        code=code("resolved_config.py"),
    message:
        "Write the configuration with every default filled in"
    script:
        "../scripts/resolved_config.py"


rule figures:
    input:
        tables=expand("results/{{study}}/tables/{table}.csv", table=TABLES),
    output:
        svg=[
            report(
                f"results/{{study}}/figures/{name}.svg",
                category="Figures",
                caption="../report/figure.rst",
                labels={"figure": name},
            )
            for name in PLAN.figures()
        ],
        csv=[f"results/{{study}}/figures/{name}.csv" for name in PLAN.figures()],
    log:
        "results/{study}/logs/figures.log",
    benchmark:
        "results/{study}/benchmarks/figures.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(NUMERIC, 10),
        runtime=fixed(30),
    params:
        layers={f"{e}/{c}": spec.network.analysed for (e, c), spec in CONDITIONS.items()},
        code=code("figures.py"),
    message:
        "Draw the figures"
    script:
        "../scripts/figures.py"


rule report_page:
    input:
        tables=expand("results/{{study}}/tables/{table}.csv", table=TABLES),
        figures=rules.figures.output.svg,
        pictures=expand(
            "results/{{study}}/figures/{kind}_{recording}.svg",
            kind=PICTURES,
            recording=STUDY.recordings,
        ),
        config=rules.resolved_config.output[0],
        template=str(Path(workflow.basedir) / "src/repbias/report/report.html.j2"),
    output:
        report("results/{study}/report.html", category="Study", caption="../report/report.rst"),
    log:
        "results/{study}/logs/report_page.log",
    benchmark:
        "results/{study}/benchmarks/report_page.tsv"
    localrule: True
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=by_input(PLAIN, 5),
        runtime=fixed(10),
    params:
        benchmarks=lambda w: f"results/{w.study}/benchmarks",
        code=code("report_page.py"),
    message:
        "Write {output[0]}"
    script:
        "../scripts/report_page.py"
