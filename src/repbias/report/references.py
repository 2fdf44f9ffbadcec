"""The papers that the report cites."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A paper.

    Attributes
    ----------
    short : authors and year, as in a text
    full : authors, year, title and journal
    """

    short: str
    full: str


def _paper(short: str, authors: str, year: int, title: str, where: str) -> Reference:
    end = "" if title.endswith("?") else "."
    return Reference(f"{short}, {year}", f"{authors} ({year}). {title}{end} {where}.")


_NEURIPS = "Advances in Neural Information Processing Systems"
_ICLR = "International Conference on Learning Representations"
_ICML = "International Conference on Machine Learning"
_JRSSB = "Journal of the Royal Statistical Society B"

REFERENCES = {
    "allen1974": _paper(
        "Allen",
        "Allen, D. M.",
        1974,
        "The relationship between variable selection and data augmentation and a method "
        "for prediction",
        "Technometrics 16, 125–127",
    ),
    "allen2022": _paper(
        "Allen et al.",
        "Allen, E. J., St-Yves, G., Wu, Y. et al.",
        2022,
        "A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence",
        "Nature Neuroscience 25, 116–126",
    ),
    "benjamini1995": _paper(
        "Benjamini & Hochberg",
        "Benjamini, Y. & Hochberg, Y.",
        1995,
        "Controlling the false discovery rate: a practical and powerful approach to "
        "multiple testing",
        f"{_JRSSB} 57, 289–300",
    ),
    "benjamini2001": _paper(
        "Benjamini & Yekutieli",
        "Benjamini, Y. & Yekutieli, D.",
        2001,
        "The control of the false discovery rate in multiple testing under dependency",
        "Annals of Statistics 29, 1165–1188",
    ),
    "brown1910": _paper(
        "Brown",
        "Brown, W.",
        1910,
        "Some experimental results in the correlation of mental abilities",
        "British Journal of Psychology 3, 296–322",
    ),
    "cloos2024": _paper(
        "Cloos et al.",
        "Cloos, N., Siegel, M., Brincat, S. L., Miller, E. K. & Cueva, C. J.",
        2024,
        "Differentiable optimization of similarity scores between models and brains",
        "arXiv 2407.07059",
    ),
    "clopper1934": _paper(
        "Clopper & Pearson",
        "Clopper, C. J. & Pearson, E. S.",
        1934,
        "The use of confidence or fiducial limits illustrated in the case of the binomial",
        "Biometrika 26, 404–413",
    ),
    "diedrichsen2021": _paper(
        "Diedrichsen et al.",
        "Diedrichsen, J., Berlot, E., Mur, M., Schütt, H. H., Shahbazi, M. & Kriegeskorte, N.",
        2021,
        "Comparing representational geometries using whitened unbiased-distance-matrix similarity",
        "Neurons, Behavior, Data Analysis, and Theory 5(3)",
    ),
    "dosovitskiy2021": _paper(
        "Dosovitskiy et al.",
        "Dosovitskiy, A., Beyer, L., Kolesnikov, A. et al.",
        2021,
        "An image is worth 16x16 words: transformers for image recognition at scale",
        _ICLR,
    ),
    "dupre2022": _paper(
        "Dupré la Tour et al.",
        "Dupré la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O. & Gallant, J. L.",
        2022,
        "Feature-space selection with banded ridge regression",
        "NeuroImage 264, 119728",
    ),
    "hall1992": _paper(
        "Hall",
        "Hall, P.",
        1992,
        "On the removal of skewness by transformation",
        f"{_JRSSB} 54, 221–228",
    ),
    "han2023": _paper(
        "Han et al.",
        "Han, Y., Poggio, T. & Cheung, B.",
        2023,
        "System identification of neural systems: if we got it right, would we know?",
        _ICML,
    ),
    "harris2020": _paper(
        "Harris et al.",
        "Harris, C. R., Millman, K. J., van der Walt, S. J. et al.",
        2020,
        "Array programming with NumPy",
        "Nature 585, 357–362",
    ),
    "he2016": _paper(
        "He et al.",
        "He, K., Zhang, X., Ren, S. & Sun, J.",
        2016,
        "Deep residual learning for image recognition",
        "IEEE Conference on Computer Vision and Pattern Recognition, 770–778",
    ),
    "hermann2020": _paper(
        "Hermann & Lampinen",
        "Hermann, K. L. & Lampinen, A. K.",
        2020,
        "What shapes feature representations? Exploring datasets, architectures, and training",
        f"{_NEURIPS} 33",
    ),
    "hoerl1970": _paper(
        "Hoerl & Kennard",
        "Hoerl, A. E. & Kennard, R. W.",
        1970,
        "Ridge regression: biased estimation for nonorthogonal problems",
        "Technometrics 12, 55–67",
    ),
    "huh2024": _paper(
        "Huh et al.",
        "Huh, M., Cheung, B., Wang, T. & Isola, P.",
        2024,
        "The Platonic representation hypothesis",
        _ICML,
    ),
    "kaniuth2022": _paper(
        "Kaniuth & Hebart",
        "Kaniuth, P. & Hebart, M. N.",
        2022,
        "Feature-reweighted representational similarity analysis: a method for improving "
        "the fit between computational models, brains, and behavior",
        "NeuroImage 257, 119294",
    ),
    "khaligh2014": _paper(
        "Khaligh-Razavi & Kriegeskorte",
        "Khaligh-Razavi, S.-M. & Kriegeskorte, N.",
        2014,
        "Deep supervised, but not unsupervised, models may explain IT cortical representation",
        "PLoS Computational Biology 10, e1003915",
    ),
    "khosla2023": _paper(
        "Khosla & Williams",
        "Khosla, M. & Williams, A. H.",
        2023,
        "Soft matching distance: a metric on neural representations that captures "
        "single-neuron tuning",
        "arXiv 2311.09466",
    ),
    "kingma2015": _paper(
        "Kingma & Ba",
        "Kingma, D. P. & Ba, J.",
        2015,
        "Adam: a method for stochastic optimization",
        _ICLR,
    ),
    "kornblith2019": _paper(
        "Kornblith et al.",
        "Kornblith, S., Norouzi, M., Lee, H. & Hinton, G.",
        2019,
        "Similarity of neural network representations revisited",
        _ICML,
    ),
    "kriegeskorte2008": _paper(
        "Kriegeskorte et al.",
        "Kriegeskorte, N., Mur, M. & Bandettini, P.",
        2008,
        "Representational similarity analysis – connecting the branches of systems neuroscience",
        "Frontiers in Systems Neuroscience 2, 4",
    ),
    "lampinen2024": _paper(
        "Lampinen et al.",
        "Lampinen, A. K., Chan, S. C. Y. & Hermann, K.",
        2024,
        "Learned feature representations are biased by complexity, learning order, "
        "position, and more",
        "Transactions on Machine Learning Research",
    ),
    "lindeman1980": _paper(
        "Lindeman et al.",
        "Lindeman, R. H., Merenda, P. F. & Gold, R. Z.",
        1980,
        "Introduction to bivariate and multivariate analysis",
        "Scott, Foresman",
    ),
    "loshchilov2019": _paper(
        "Loshchilov & Hutter",
        "Loshchilov, I. & Hutter, F.",
        2019,
        "Decoupled weight decay regularization",
        _ICLR,
    ),
    "molder2021": _paper(
        "Mölder et al.",
        "Mölder, F., Jablonski, K. P., Letcher, B. et al.",
        2021,
        "Sustainable data analysis with Snakemake",
        "F1000Research 10, 33",
    ),
    "navon1977": _paper(
        "Navon",
        "Navon, D.",
        1977,
        "Forest before trees: the precedence of global features in visual perception",
        "Cognitive Psychology 9, 353–383",
    ),
    "nguyen2021": _paper(
        "Nguyen et al.",
        "Nguyen, T., Raghu, M. & Kornblith, S.",
        2021,
        "Do wide and deep networks learn the same things? Uncovering how neural network "
        "representations vary with width and depth",
        _ICLR,
    ),
    "nili2014": _paper(
        "Nili et al.",
        "Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W. & Kriegeskorte, N.",
        2014,
        "A toolbox for representational similarity analysis",
        "PLoS Computational Biology 10, e1003553",
    ),
    "nunez2019": _paper(
        "Nunez-Elizalde et al.",
        "Nunez-Elizalde, A. O., Huth, A. G. & Gallant, J. L.",
        2019,
        "Voxelwise encoding models with non-spherical multivariate normal priors",
        "NeuroImage 197, 482–492",
    ),
    "paszke2019": _paper(
        "Paszke et al.",
        "Paszke, A., Gross, S., Massa, F. et al.",
        2019,
        "PyTorch: an imperative style, high-performance deep learning library",
        f"{_NEURIPS} 32",
    ),
    "schafer2005": _paper(
        "Schäfer & Strimmer",
        "Schäfer, J. & Strimmer, K.",
        2005,
        "A shrinkage approach to large-scale covariance matrix estimation and "
        "implications for functional genomics",
        "Statistical Applications in Genetics and Molecular Biology 4, 32",
    ),
    "schutt2023": _paper(
        "Schütt et al.",
        "Schütt, H. H., Kipnis, A. D., Diedrichsen, J. & Kriegeskorte, N.",
        2023,
        "Statistical inference on representational geometries",
        "eLife 12, e82566",
    ),
    "shapley1953": _paper(
        "Shapley",
        "Shapley, L. S.",
        1953,
        "A value for n-person games",
        "Contributions to the Theory of Games II, 307–317",
    ),
    "song2012": _paper(
        "Song et al.",
        "Song, L., Smola, A., Gretton, A., Bedo, J. & Borgwardt, K.",
        2012,
        "Feature selection via dependence maximization",
        "Journal of Machine Learning Research 13, 1393–1434",
    ),
    "spearman1910": _paper(
        "Spearman",
        "Spearman, C.",
        1910,
        "Correlation calculated from faulty data",
        "British Journal of Psychology 3, 271–295",
    ),
    "tang2020": _paper(
        "Tang et al.",
        "Tang, S., Maddox, W. J., Dickens, C., Diethe, T. & Damianou, A.",
        2020,
        "Similarity of neural networks with gradients",
        "arXiv 2003.11498",
    ),
    "vaswani2017": _paper(
        "Vaswani et al.",
        "Vaswani, A., Shazeer, N., Parmar, N. et al.",
        2017,
        "Attention is all you need",
        f"{_NEURIPS} 30",
    ),
    "virtanen2020": _paper(
        "Virtanen et al.",
        "Virtanen, P., Gommers, R., Oliphant, T. E. et al.",
        2020,
        "SciPy 1.0: fundamental algorithms for scientific computing in Python",
        "Nature Methods 17, 261–272",
    ),
    "walther2016": _paper(
        "Walther et al.",
        "Walther, A., Nili, H., Ejaz, N., Alink, A., Kriegeskorte, N. & Diedrichsen, J.",
        2016,
        "Reliability of dissimilarity measures for multi-voxel pattern analysis",
        "NeuroImage 137, 188–200",
    ),
    "williams2021": _paper(
        "Williams et al.",
        "Williams, A. H., Kunz, E., Kornblith, S. & Linderman, S.",
        2021,
        "Generalized shape metrics on neural representations",
        f"{_NEURIPS} 34",
    ),
}
