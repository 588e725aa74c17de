"""The energy meter on fake kernels, fake GPUs and a fake clock."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from metann.cost.energy import Energy, Meter, Source, find_meter


def zone(root: Path, folder: str, name: str, microjoules: int = 0, most: int = 1_000_000) -> Path:
    path = root / "class" / "powercap" / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path / "energy_uj"


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rapl_adds_packages_and_memory_but_no_part_twice(tmp_path: Path) -> None:
    counters = {
        name: zone(tmp_path, folder, name.split("/")[0])
        for folder, name in [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "uncore"),
            ("intel-rapl:0:2", "dram"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:1:0", "dram/1"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl-mmio:0", "package-0/mmio"),
        ]
    }
    (tmp_path / "class/powercap/intel-rapl").mkdir()  # the control type itself is no zone
    meter = find_meter(sysfs=tmp_path)
    with meter.measure() as energy:
        for weight, counter in enumerate(counters.values()):
            counter.write_text(str(10**weight))
    assert energy.joules == pytest.approx((1 + 1000 + 10_000 + 100_000) / 1e6)
    assert energy.source == "RAPL package-1 + RAPL package-0 + RAPL dram-1 + RAPL dram-0"
    assert energy.by_source["RAPL dram-0"] == pytest.approx(0.001)
    assert energy.reason is None


def test_rapl_wraps_around(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", microjoules=900_000, most=1_000_000)
    with find_meter(sysfs=tmp_path).measure() as energy:
        counter.write_text("200000")
    assert energy.joules == pytest.approx(0.3)


def test_rapl_that_only_root_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0")
    real = Path.read_text

    def refuse(path: Path, *args: object, **kwargs: object) -> str:
        if path == counter:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    with find_meter(sysfs=tmp_path).measure() as energy:
        pass
    assert energy.joules is None
    assert "readable by root only" in energy.reason


def test_no_meter_is_null_with_a_reason(tmp_path: Path) -> None:
    meter = find_meter(sysfs=tmp_path)
    assert meter.measure_idle(0.01) is None
    with meter.measure() as energy:
        pass
    assert (energy.joules, energy.source, energy.joules_above_idle) == (None, None, None)
    assert "no RAPL counter" in energy.reason
    assert "no INA3221" in energy.reason
    assert energy.seconds >= 0


def rail(folder: Path, number: int, name: str, millivolts: int, milliamperes: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"in{number}_label").write_text(f"{name}\n")
    (folder / f"in{number}_input").write_text(f"{millivolts}\n")
    (folder / f"curr{number}_input").write_text(f"{milliamperes}\n")
    return folder / f"curr{number}_input"


def test_jetson_takes_the_rail_that_feeds_the_board(tmp_path: Path) -> None:
    folder = tmp_path / "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    current = rail(folder, 1, "VDD_IN", 5000, 1000)
    rail(folder, 2, "VDD_CPU_GPU_CV", 5000, 400)
    (folder / "in7_label").write_text("sum of shunt voltages\n")
    (folder / "in7_input").write_text("3\n")
    zone(tmp_path, "intel-rapl:0", "package-0")
    meter = find_meter("cuda", sysfs=tmp_path, nvml=SimpleNamespace())
    assert [source.name for source in meter.sources] == ["INA3221 VDD_IN"]
    assert meter.sources[0].read() == 5.0
    clock = meter._clock = Clock()
    with meter.measure() as energy:
        current.write_text("3000")
        clock.now = 2.0
    assert energy.joules == pytest.approx(20.0)  # 5 W, then 15 W, or 10 W in the mean for 2 s


def test_jetson_adds_rails_where_none_feeds_all_and_reads_old_kernels(tmp_path: Path) -> None:
    folder = tmp_path / "bus/i2c/drivers/ina3221x/1-0040/iio:device0"
    folder.mkdir(parents=True)
    for number, (name, milliwatts) in enumerate([("GPU", 1500), ("CPU", 500)]):
        (folder / f"rail_name_{number}").write_text(f"{name}\n")
        (folder / f"in_power{number}_input").write_text(f"{milliwatts}\n")
    meter = find_meter(sysfs=tmp_path)
    assert sorted((source.name, source.read()) for source in meter.sources) == [("INA3221 CPU", 0.5), ("INA3221 GPU", 1.5)]


class FakeNvml(SimpleNamespace):
    """Enough of pynvml: one GPU, its energy in millijoules."""

    def __init__(self, energy: bool = True, power: bool = True) -> None:
        super().__init__(millijoules=5000, asked=[], energy=energy, power=power)

    def nvmlInit(self) -> None:  # noqa: N802
        self.asked.append("init")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self.asked.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self.asked.append(uuid)
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        assert handle == "handle"
        return "Fake 100"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        assert handle == "handle"
        if not self.energy:
            raise RuntimeError("Not Supported")
        return self.millijoules

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        assert handle == "handle"
        if not self.power:
            raise RuntimeError("Not Supported")
        return 70_000


def test_gpu_energy_and_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    nvml = FakeNvml()
    counter = zone(tmp_path, "intel-rapl:0", "package-0")
    with find_meter("cuda", tmp_path, nvml).measure() as energy:
        nvml.millijoules += 1500
        counter.write_text("250000")
    assert energy.joules == pytest.approx(1.75)
    assert energy.source == "NVML Fake 100 + RAPL package-0"
    assert nvml.asked[1] == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-abc")
    find_meter("cuda", tmp_path, nvml)
    assert nvml.asked[-1] == "GPU-abc"


def test_gpu_without_counter_is_sampled_and_without_both_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    zone(tmp_path, "intel-rapl:0", "package-0")
    old = find_meter("cuda", tmp_path, FakeNvml(energy=False))
    assert (old.sources[0].name, old.sources[0].read(), old.sources[0].kind) == ("NVML Fake 100, sampled power", 70.0, "power")
    none = find_meter("cuda", tmp_path, FakeNvml(energy=False, power=False))
    with none.measure() as energy:
        pass
    assert energy.joules is None  # the processor's joules alone would pass for the whole
    assert "neither energy nor power" in energy.reason


def test_a_sensor_that_fails_during_the_work_gives_null_and_not_an_error() -> None:
    readings = iter([1.0])
    meter = Meter([Source("broken", lambda: next(readings))])
    with meter.measure() as energy:
        pass
    assert energy.joules is None
    assert "during the work" in energy.reason


def test_a_counter_that_goes_back_without_a_range_gives_null() -> None:
    readings = iter([5.0, 1.0])
    with Meter([Source("reset", lambda: next(readings))]).measure() as energy:
        pass
    assert energy.joules is None
    assert "went back" in energy.reason


def test_idle_baseline_is_recorded() -> None:
    meter = Meter([Source("steady", lambda: 10.0, "power")])
    assert meter.measure_idle(0.12) == pytest.approx(10)
    with meter.measure() as energy:
        pass
    assert energy.idle_watts == meter.idle_watts
    assert Energy(seconds=2, joules=30, idle_watts=10).joules_above_idle == 10


def test_samples_are_taken_during_the_work() -> None:
    """A peak between start and end is seen."""
    import threading

    count = 0
    enough = threading.Event()

    def watts() -> float:
        nonlocal count
        count += 1
        if count > 3:
            enough.set()
        return 0.0 if count == 1 else 8.0

    with Meter([Source("rising", watts, "power")]).measure() as energy:
        assert enough.wait(10)
    assert energy.joules > 0
    assert math.isfinite(energy.joules)
