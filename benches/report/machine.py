"""What results are told with: the machine, the versions, the day."""

import datetime
import importlib.metadata
import os
import platform


def machine(now="at the start"):
    """A dict of names and values, in the order in which they are shown; `now` is when this is."""
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    return {
        "processor": cpu,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "pyarrow": importlib.metadata.version("pyarrow"),
        f"load {now}": os.getloadavg()[0],
        "date": datetime.date.today().isoformat(),
    }
