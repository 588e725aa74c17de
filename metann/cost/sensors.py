"""Energy sensors: RAPL of processors, the INA3221 of Jetson boards, NVML of NVIDIA GPUs. Found, not interpreted.

Every finder gives sources of which no two hold the same energy, or none and the reason.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WHOLE_BOARD = {"VDD_IN", "POM_5V_IN", "5V_IN"}  # INA3221 rails that hold all the others


@dataclass
class Source:
    """One sensor.

    Attributes:
        name: as it is reported, such as `RAPL package-0`.
        read: a counter's joules, or a power monitor's watts.
        kind: `counter` or `power`; power is integrated over time by the trapezoid rule.
        range_joules: a counter's largest value, after which it begins at 0 again; None where it never does.
    """

    name: str
    read: Callable[[], float]
    kind: str = "counter"
    range_joules: float | None = None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def rapl(sysfs: Path) -> tuple[list[Source], str | None]:
    """CPU packages, and memory where it is counted apart. Core and uncore lie inside their package, psys around it."""
    zones = sorted((sysfs / "class" / "powercap").glob("intel-rapl*:*"), key=lambda zone: ("mmio" in zone.name, zone.name))
    found: dict[str, Source] = {}
    problem = "no RAPL counter (this machine's processor or container shows none)"
    for zone in zones:
        try:
            name = _text(zone / "name")
            if not name.startswith(("package", "dram")):
                continue
            if name == "dram":  # its number is its parent's: intel-rapl:1:0 is the memory of intel-rapl:1
                name = f"dram-{zone.name.split(':')[1]}"
            if name in found:  # the same counter once more, read through another interface (intel-rapl-mmio)
                continue
            counter = zone / "energy_uj"
            _text(counter)
            found[name] = Source(
                f"RAPL {name}", lambda c=counter: int(_text(c)) / 1e6, range_joules=int(_text(zone / "max_energy_range_uj")) / 1e6
            )
        except PermissionError:
            problem = f"the RAPL counter {zone.name} is readable by root only; run as root, or have read access to energy_uj granted"
        except (OSError, ValueError) as error:
            problem = f"the RAPL counter {zone.name} cannot be read: {error}"
    if not any(name.startswith("package") for name in found):
        return [], problem
    return [found[name] for name in sorted(found, reverse=True)], None


def jetson(sysfs: Path) -> tuple[list[Source], str | None]:
    """The rail that feeds the whole board, or else all rails."""
    rails: dict[str, Source] = {}
    for label in sorted(sysfs.glob("bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        volts, amperes = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        with contextlib.suppress(OSError, ValueError):
            _text(volts), _text(amperes)
            rails[_text(label)] = Source("", lambda v=volts, a=amperes: int(_text(v)) * int(_text(a)) / 1e6, "power")
    for label in sorted(sysfs.glob("bus/i2c/drivers/ina3221*/*/iio:device*/rail_name_*")):  # kernels before 5
        milliwatts = label.with_name(f"in_power{label.name.removeprefix('rail_name_')}_input")
        with contextlib.suppress(OSError, ValueError):
            _text(milliwatts)
            rails[_text(label)] = Source("", lambda p=milliwatts: int(_text(p)) / 1e3, "power")
    rails.pop("sum of shunt voltages", None)
    chosen = {name: rail for name, rail in rails.items() if name in _WHOLE_BOARD} or rails
    for name, rail in chosen.items():
        rail.name = f"INA3221 {name}"
    return list(chosen.values()), None if chosen else "no INA3221 power monitor"


def nvidia(nvml: Any) -> tuple[list[Source], str | None]:
    """The GPU that this process sees first."""
    try:
        if nvml is None:
            import pynvml as nvml
        nvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
        number = visible.isdigit()
        handle = nvml.nvmlDeviceGetHandleByIndex(int(visible)) if number else nvml.nvmlDeviceGetHandleByUUID(visible)
        name = nvml.nvmlDeviceGetName(handle)
    except ImportError:
        return [], "no NVML: the package nvidia-ml-py is not installed (pip install 'metann[energy]')"
    except Exception as error:  # NVML's errors have no common base
        return [], f"NVML does not answer: {error}"
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return [Source(f"NVML {name}", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)], None
    except Exception:  # before Volta, or a slice of a GPU
        pass
    try:
        nvml.nvmlDeviceGetPowerUsage(handle)
        return [Source(f"NVML {name}, sampled power", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3, "power")], None
    except Exception as error:
        return [], f"NVML shows neither energy nor power of {name}: {error}"
