"""The data sets that the program knows: files, sums, addresses, classes and customary constants."""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from spikesim.datasets.samples.model import Augmentation, Kind
from spikesim.errors import InputError
from spikesim.io.validation import did_you_mean, nearest


@dataclass(frozen=True)
class File:
    """A file of a data set as it is after unpacking.

    Attributes
    ----------
    name : str
        Name without a path and without ``.gz``.
    size : int
        Bytes.
    sha256 : str
        In hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Archive:
    """A published archive of a set that is folders of files.

    Attributes
    ----------
    name : str
        The name of its file.
    url : str
        Where it is; its last part is not the name of the file.
    md5 : str
        Of the archive, in hexadecimal, as its publishers give it.
    """

    name: str
    url: str
    md5: str


@dataclass(frozen=True)
class Entry:
    """All that is known of a data set before it is read.

    Attributes
    ----------
    name : str
    form : {"idx", "cifar", "ts", "reviews", "nmnist", "gesture", "imdb"}
        With ``idx``, `train` and `test` are (images, labels); with ``cifar``, any number of files of records; with
        ``ts``, a file each; with ``reviews``, one file that is divided into folds. The others are folders of files
        (`spikesim.datasets.formats.folder_layouts`), recordings of events and texts, and have no files here but
        `archives`.
    label_bytes : int
        Labels in front of each record of a CIFAR file; the last one counts.
    train, test : tuple of File
    n_train, n_test : int
        Numbers of samples; of folds, with the first as the test part.
    shape : (height, width, channels)
        Of texts (1, 0, 1): how long they are is found out when they are read.
    class_names : tuple of str
    mean, std : tuple of float
        One a channel; none where they are computed from the samples.
    augmentation : Augmentation
    folders : tuple of str
        Sub-folders where people keep it, relative to a data folder; `fetch` writes into the first.
    system_folder : str or None
        Where a package of the operating system installs it.
    archive : str or None
        The .tar.gz that holds all files, if that is how it is published.
    mirrors : tuple of str
        Addresses of the folder with the published files. None: the set comes with the program.
    archives : tuple of Archive
        What folders of files are published in: one, or one a part, the training part first.
    how : str or None
        How to get the files, where none can be fetched.
    duration : float or None
        Of recordings: milliseconds of each that are worth following.
    """

    name: str
    form: Literal["idx", "cifar", "ts", "reviews", "nmnist", "gesture", "imdb"]
    train: tuple[File, ...]
    test: tuple[File, ...]
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    label_bytes: int = 1
    folders: tuple[str, ...] = ()
    system_folder: str | None = None
    archive: str | None = None
    mirrors: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    duration: float | None = None
    how: str | None = None

    @property
    def files(self) -> tuple[File, ...]:
        """Every file, training files first."""
        return self.train + self.test

    @property
    def embedded(self) -> bool:
        """Whether the set comes with the program."""
        return not self.folders

    @property
    def kind(self) -> Kind:
        """What its samples are."""
        return _KINDS[self.form]

    @property
    def recordings(self) -> bool:
        """Whether its samples are recordings of events."""
        return self.kind == "recordings"

    @property
    def folders_of_files(self) -> bool:
        """Whether it is folders of files without sums, so that the hash of its content is in its name."""
        return self.form in ("nmnist", "gesture", "imdb")


_KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "idx": "images",
        "cifar": "images",
        "ts": "series",
        "reviews": "text",
        "nmnist": "recordings",
        "gesture": "recordings",
        "imdb": "text",
    }
)


def names() -> tuple[str, ...]:
    """Names of the data sets that `load` knows; the first one comes with the program."""
    return tuple(_ENTRIES)


def entries() -> tuple[Entry, ...]:
    """What is known of every data set, in the order of `names`."""
    return tuple(_ENTRIES.values())


def find(name: str) -> Entry:
    """What is known of one data set.

    Raises
    ------
    InputError
        There is no data set of this name.
    """
    if name not in _ENTRIES:
        other_version = re.fullmatch(r"(.*/)?cifar-?10.*(python|-py|matlab|-mat)\b.*", name)
        asked = did_you_mean(nearest(name, names()))
        raise InputError(
            f"unknown data set {name!r}{asked}; known are {', '.join(names())}, and files of your own (.npz, .h5, "
            ".tsv, .csv, .ts)"
            + ("; of CIFAR the binary version is read, as cifar10 and cifar100" if other_version else "")
        )
    return _ENTRIES[name]


def _idx(part: str, images: int, side: int, images_sha256: str, labels_sha256: str) -> tuple[File, File]:
    # The IDX headers take 16 bytes in front of the images and 8 in front of the labels.
    return (
        File(f"{part}-images-idx3-ubyte", 16 + images * side * side, images_sha256),
        File(f"{part}-labels-idx1-ubyte", 8 + images, labels_sha256),
    )


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10_CLASSES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
_CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()
)

_MINI = Entry(
    name="fashion-mnist-mini",
    form="idx",
    train=_idx(
        "train",
        5_000,
        28,
        "444ed5f7ce17397f236f5eba17dd507d3f6912f04edd3e4f1701cdf82f2cc0c5",
        "35d691216f65485d010cc635af5574a9dc04aa5060de9be64ab6e5cb5ead38e9",
    ),
    test=_idx(
        "t10k",
        1_000,
        28,
        "7cee33c3c6414b1b86c25e665a6c4f41584269de3b7cc9768b1d351922845eef",
        "3128d790775889812b73c4f13923559c8b9e281d112c6ea7862acf60a206a909",
    ),
    n_train=5_000,
    n_test=1_000,
    shape=(28, 28, 1),
    class_names=_CLOTHES,
    mean=(0.2860,),
    std=(0.3530,),
    augmentation=Augmentation(crop=2, flip=True),
)
_MNIST = Entry(
    name="mnist",
    form="idx",
    train=_idx(
        "train",
        60_000,
        28,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test=_idx(
        "t10k",
        10_000,
        28,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    n_train=60_000,
    n_test=10_000,
    shape=(28, 28, 1),
    class_names=_DIGITS,
    mean=(0.1307,),
    std=(0.3081,),
    augmentation=Augmentation(crop=2, flip=False),
    folders=("mnist", "MNIST/raw", "MNIST"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)
_FASHION_MNIST = Entry(
    name="fashion-mnist",
    form="idx",
    train=_idx(
        "train",
        60_000,
        28,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    test=_idx(
        "t10k",
        10_000,
        28,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    n_train=60_000,
    n_test=10_000,
    shape=(28, 28, 1),
    class_names=_CLOTHES,
    mean=(0.2860,),
    std=(0.3530,),
    augmentation=Augmentation(crop=2, flip=True),
    folders=("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
    system_folder="/usr/share/datasets/fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)
_CIFAR10 = Entry(
    name="cifar10",
    form="cifar",
    train=tuple(
        File(f"data_batch_{number}.bin", 30_730_000, sha256)
        for number, sha256 in enumerate(
            (
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            ),
            start=1,
        )
    ),
    test=(File("test_batch.bin", 30_730_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),),
    n_train=50_000,
    n_test=10_000,
    shape=(32, 32, 3),
    class_names=_CIFAR10_CLASSES,
    mean=(0.4914, 0.4822, 0.4465),
    # The constants in general use: the mean of each image's own deviation. That of all pixels is 0.247, 0.243, 0.262.
    std=(0.2023, 0.1994, 0.2010),
    augmentation=Augmentation(crop=4, flip=True),
    folders=("cifar-10", "cifar-10-batches-bin", "cifar-10/cifar-10-batches-bin", "cifar10", "CIFAR10"),
    archive="cifar-10-binary.tar.gz",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
)
_CIFAR100 = Entry(
    name="cifar100",
    form="cifar",
    train=(File("train.bin", 153_700_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),),
    test=(File("test.bin", 30_740_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),),
    n_train=50_000,
    n_test=10_000,
    shape=(32, 32, 3),
    class_names=_CIFAR100_CLASSES,
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
    augmentation=Augmentation(crop=4, flip=True),
    label_bytes=2,  # coarse, fine
    folders=("cifar-100", "cifar-100-binary", "cifar-100/cifar-100-binary", "cifar100", "CIFAR100"),
    archive="cifar-100-binary.tar.gz",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
)

_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
_NMNIST = Entry(
    name="nmnist",
    form="nmnist",
    train=(),
    test=(),
    n_train=60_000,
    n_test=10_000,
    shape=(34, 34, 2),
    class_names=_DIGITS,
    mean=(0.0, 0.0),
    std=(1.0, 1.0),
    augmentation=Augmentation(crop=0, flip=False),
    folders=("nmnist", "NMNIST", "N-MNIST"),
    archives=(
        Archive(
            "train.zip",
            f"{_MENDELEY}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            "20959b8e626244a1b502305a9e6e2031",
        ),
        Archive(
            "test.zip",
            f"{_MENDELEY}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            "69ca8762b2fe404d9b9bad1103e97832",
        ),
    ),
    duration=300.0,  # three saccades of 100 ms
)
_GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other",
)
_DVSGESTURE = Entry(
    name="dvsgesture",
    form="gesture",
    train=(),
    test=(),
    n_train=1_077,
    n_test=264,
    shape=(128, 128, 2),
    class_names=_GESTURES,
    mean=(0.0, 0.0),
    std=(1.0, 1.0),
    augmentation=Augmentation(crop=0, flip=False),
    folders=("dvsgesture", "DVSGesture", "dvs-gesture"),
    archives=(
        Archive(
            "ibmGestureTrain.tar.gz",
            "https://figshare.com/ndownloader/files/38022171",
            "3a8f0d4120a166bac7591f77409cb105",
        ),
        Archive(
            "ibmGestureTest.tar.gz",
            "https://figshare.com/ndownloader/files/38020584",
            "56070e45dadaa85fff82e0fbfbc06de5",
        ),
    ),
    duration=1500.0,  # a gesture is repeated for six seconds, several times within this
)
_NOTHING = Augmentation(crop=0, flip=False)
_JAPANESE_VOWELS = Entry(
    name="japanese-vowels",
    form="ts",
    train=(
        File("JapaneseVowels_TRAIN.ts", 487_971, "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"),
    ),
    test=(File("JapaneseVowels_TEST.ts", 649_132, "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"),),
    n_train=270,
    n_test=370,
    shape=(1, 29, 12),
    class_names=tuple("123456789"),
    mean=(),
    std=(),
    augmentation=_NOTHING,
)
_REVIEWS = Entry(
    name="reviews",
    form="reviews",
    train=(
        File(
            "movieReviewSnippets_GroundTruth.txt",
            1_383_098,
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        ),
    ),
    test=(),
    n_train=9_558,
    n_test=1_010,
    shape=(1, 0, 1),
    class_names=("negative", "positive"),
    mean=(),
    std=(),
    augmentation=_NOTHING,
    folders=("text", "reviews"),
    how="movieReviewSnippets_GroundTruth.txt is in the source archive of the Python package vaderSentiment 3.3.2, in "
    "additional_resources/hutto_ICWSM_2014.tar.gz",
)
_IMDB = Entry(
    name="imdb",
    form="imdb",
    train=(),
    test=(),
    n_train=25_000,
    n_test=25_000,
    shape=(1, 0, 1),
    class_names=("negative", "positive"),
    mean=(),
    std=(),
    augmentation=_NOTHING,
    folders=("aclImdb", "imdb", "imdb/aclImdb"),
    archives=(
        Archive(
            "aclImdb_v1.tar.gz",
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            "7c2ac02c03563afcf9b574c7e56c153a",
        ),
    ),
)

_ENTRIES = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _MINI,
            _MNIST,
            _FASHION_MNIST,
            _CIFAR10,
            _CIFAR100,
            _NMNIST,
            _DVSGESTURE,
            _JAPANESE_VOWELS,
            _REVIEWS,
            _IMDB,
        )
    }
)
