rule claims:
    input:
        variance=OUT + "/tables/variance_explained.csv",
        rsa=OUT + "/tables/rsa_models.csv",
    output:
        OUT + "/tables/claims.csv",
    log:
        OUT + "/logs/claims.log",
    benchmark:
        OUT + "/benchmarks/claims.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        claims=STUDY.claims,
        layers={f"{e}/{c}": spec.network.analysed for (e, c), spec in CONDITIONS.items()},
        comparator=STUDY.geometry.comparators[0],
        code=code("claims.py"),
    conda:
        ENV
    message:
        "Decide the claims"
    script:
        "../scripts/claims.py"


rule planted_truth:
    input:
        rsa=OUT + "/tables/rsa_recordings.csv",
        encoding=OUT + "/tables/encoding.csv",
    output:
        OUT + "/tables/planted_truth.csv",
    log:
        OUT + "/logs/planted_truth.log",
    benchmark:
        OUT + "/benchmarks/planted_truth.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        simulated={n: spec.model_dump(mode="json") for n, spec in STUDY.simulated().items()},
        code=code("planted_truth.py"),
    conda:
        ENV
    message:
        "Ask whether RSA and encoding name the generating layer"
    script:
        "../scripts/planted_truth.py"


rule resolved_config:
    output:
        report(OUT + "/config.yaml", category="Study", caption="../report/config.rst"),
    log:
        OUT + "/logs/resolved_config.log",
    benchmark:
        OUT + "/benchmarks/resolved_config.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        study=STUDY.model_dump(mode="json"),
        code=code("resolved_config.py"),
    conda:
        ENV
    message:
        "Write the configuration with every default filled in"
    script:
        "../scripts/resolved_config.py"


rule figures:
    input:
        tables=expand(OUT + "/tables/{table}.csv", table=TABLES),
    output:
        svg=[
            report(
                f"{OUT}/figures/{name}.svg",
                category="Figures",
                caption=f"../report/{name}.rst",
                labels={"figure": name},
            )
            for name in STUDY.figures()
        ],
        csv=[f"{OUT}/figures/{name}.csv" for name in STUDY.figures()],
    log:
        OUT + "/logs/figures.log",
    benchmark:
        OUT + "/benchmarks/figures.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        layers={f"{e}/{c}": spec.network.analysed for (e, c), spec in CONDITIONS.items()},
        code=code("figures.py"),
    conda:
        ENV
    message:
        "Draw the figures"
    script:
        "../scripts/figures.py"


rule report_page:
    input:
        tables=expand(OUT + "/tables/{table}.csv", table=TABLES),
        figures=rules.figures.output.svg,
        config=rules.resolved_config.output[0],
    output:
        report(OUT + "/report.html", category="Study", caption="../report/report.rst"),
    log:
        OUT + "/logs/report_page.log",
    benchmark:
        OUT + "/benchmarks/report_page.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        benchmarks=OUT + "/benchmarks",
        code=code("report_page.py"),
    conda:
        ENV
    message:
        "Write {output[0]}"
    script:
        "../scripts/report_page.py"
