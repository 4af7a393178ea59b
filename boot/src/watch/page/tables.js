// Processes and cgroups: what each has in memory, in swap, in the compressed pool, and may have.

class Tables {
  constructor(processes, cgroups) {
    this.processes = processes;
    this.cgroups = cgroups;
  }

  draw(facts) {
    // The kernel's own threads have no pages; tasks of a scenario have some without being a process.
    const processes = (facts.tasks ?? []).filter((task) => task.pid !== null || task.resident + task.swapped > 0);
    const most = Math.max(1, ...processes.map((task) => task.resident + task.swapped));
    processes.sort((one, other) => other.resident + other.swapped - one.resident - one.swapped || one.thread - other.thread);
    this.processes.replaceChildren(...processes.slice(0, 12).map((task) => row(
      [task.name, task.pid ?? ""],
      stack([["in-memory", task.resident], ["in-swap", task.swapped - task.compressed], ["in-pool", task.compressed]], most),
      mebibytes(task.resident), mebibytes(task.swapped - task.compressed), mebibytes(task.compressed),
    )));
    const cgroups = facts.cgroups ?? [];
    const isAlone = cgroups.length < 2;
    this.cgroups.parentElement.hidden = isAlone;
    if (isAlone) return;
    this.cgroups.replaceChildren(...cgroups.map((cgroup) => row(
      [cgroup.number === 0 ? "root" : `cgroup ${cgroup.number}`, ""],
      limited(cgroup),
      mebibytes(cgroup.current), mebibytes(cgroup.swapped), cgroup.max === null ? "none" : mebibytes(cgroup.max),
    )));
  }
}

function row([name, number], picture, ...figures) {
  const cells = figures.map((figure) => element("td", "figure", figure));
  return element("tr", "", element("th", "", name, " ", element("small", "", String(number))), element("td", "picture", picture), ...cells);
}

/** Parts beside one another, against the greatest sum. */
function stack(parts, most) {
  const shown = parts.map(([kind, value]) => {
    const part = element("i", kind);
    part.style.width = `${100 * value / most}%`;
    return part;
  });
  return element("span", "stack", ...shown);
}

/** What a cgroup has of what it may have; without a limit there is nothing to fill. */
function limited(cgroup) {
  if (cgroup.max === null) return element("span", "stack");
  return stack([["in-memory", Math.min(cgroup.current, cgroup.max)]], Math.max(1, cgroup.max));
}
