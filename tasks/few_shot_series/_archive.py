"""Which sets of the UEA and UCR archives are pinned, and how many classes each of them has."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api.types import DataFile, Dataset


@dataclass(frozen=True, slots=True)
class Pinned:
    """One set: digests of its two files, and its classes."""

    train: str  # sha256
    test: str  # sha256
    classes: int

    def dataset(self, name: str) -> Dataset:
        """The data set of this name."""
        files = {
            "train": DataFile(f"uea_ucr/{name}_TRAIN.ts.gz", self.train),
            "test": DataFile(f"uea_ucr/{name}_TEST.ts.gz", self.test),
        }
        return Dataset(name, files, licence="not stated (UEA/UCR archive, free for research)")


SETS = {
    "ACSF1": Pinned(
        "2e0325012e585df6c728b43e844b39c1cb48a34a1d6eb01ee44d5c5d6be12515",
        "674b197d06b9fb25c9dd34ff292a4060373c02f5d9d83eb26a31490f4a561865",
        10,
    ),
    "ArrowHead": Pinned(
        "5e6f590fcce12aec1e0776e34048430ef65bb7edb0106e233f65ac0f1f5c20e0",
        "45e6a3ed68cd1a050aed08cbf6e96174102f4539b368ad5154cd90944afffb85",
        3,
    ),
    "AtrialFibrillation": Pinned(
        "a36929cc90dab2ed15e00efbb96a0f84df6aaa5150923e5f0b4c17af2469c512",
        "3362a50ec1284edaadbfe9ad2e4661ce547a925132e437ff5efec7e4f2cef5af",
        3,
    ),
    "BasicMotions": Pinned(
        "9bf98638f7147d4eaa563e80bd3fc8099bb16b80ea8f5992696921514d65fc7d",
        "0d72101300d5d9649e5ef2117dc426840f2bff4ba176d0b9e2baa16cced25f05",
        4,
    ),
    "Chinatown": Pinned(
        "849dffd54d3acabca4b21cc276c3a052f99d87ece1a2523d4fa34884164ae967",
        "edea97a08eade2b46df49b3a4cc9568cffd718dc653fe17b9e0b9b5f3c72bf71",
        2,
    ),
    "Epilepsy": Pinned(
        "5ea38059f96c5daa622a58fdab534656fb66b4188d417cf70aa4e3b223cf0d6b",
        "c6552d7af4539bd568cf0341a790ad4143431ee2f51f485eb5b737d3b9f27f8e",
        4,
    ),
    "GunPoint": Pinned(
        "26785ca9e8ddd8066b8c8415a0a7d2c6c6477e652527788a041c14b9236c0324",
        "0a2c283b0b5672ca7bde20202b860c3705b0a64d209aaed6762e61fab371ea9f",
        2,
    ),
    "Handwriting": Pinned(
        "f05b2e90cc0d4bf9dbbea0b4de4bafcd923e0c39294af185f419063a549b3145",
        "2cc09f84cd012ab44bdbd917c50318c76f458d30363d085a1e0bcc21b969634d",
        26,
    ),
    "ItalyPowerDemand": Pinned(
        "af01fe108ffc6fdf38016a1f8a0e378d1700a2624b11ac100888319e9c3f16dc",
        "2460845ec60536687f0b96d3d7bf7b8bea4416b750de54cf52f2b5c5e08f2c24",
        2,
    ),
    "JapaneseVowels": Pinned(
        "907689f759d0d7f2bcbe1c5ac4abad50ddcabed485fd00a60f9bb130ef152e19",
        "e4eb3c7754b8bd0dfe0a78f8113f0836b2e12aa93a1936657a4b7f2c39189773",
        9,
    ),
    "LSST": Pinned(
        "2a553edf7558172b2546f76acf8f24a517fab156bef07df112089b6ebd0b9907",
        "f551f7b203b4a49e4b9c6a16989a2d8f6d04bd33fbbc790ee2c463a766e24214",
        14,
    ),
    "NATOPS": Pinned(
        "979373b8b36d4219ebf6f48689fd4f015c4129312a74ec869aabbe55395de658",
        "14260e7837454f1eee396e000b9eeb0e87fa5303b3202606c722cfd4b727859b",
        6,
    ),
    "OSULeaf": Pinned(
        "7bf40725c1c786efdabb6a4ad29f3181af449c6e81c52c027ea3ae68cbf8420b",
        "4a573457108a92356343cf70d95ebd55703c49d510023a8105f6250a376d3172",
        6,
    ),
    "PLAID": Pinned(
        "54b34cf75ad53a7c6eb98c34e2919bb883f4bfa7d65e02c5bd79671e5a7d8c56",
        "d5bc46f1371826d6aaf8094d6bfa234d3d06dd2f3d5eb47beca623f3cf0bd291",
        11,
    ),
    "PickupGestureWiimoteZ": Pinned(
        "137ad1c746c82420ac33620d652bfb7678d9849ab58221f4246b47fa3f007dba",
        "31e4fc1748d5f6085d28b51b991bbcd9d9f5723fc8a62cf48958e7dd804d6dce",
        10,
    ),
    "RacketSports": Pinned(
        "8f1d93ec6a4a65e936bab379586f1f0eb8f0974a9921feaa833d458dca12fc49",
        "1c4a538b8cec13ab447d645aa51bcc8a9acb10a8b1761413e588daf27235ad68",
        4,
    ),
}
