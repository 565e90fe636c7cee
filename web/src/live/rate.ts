/** Rates from counters that grow, restart at nothing, and arrive at uneven times. */

export interface Sample {
  /** Milliseconds on this page's own clock. */
  at: number;
  value: number;
}

/** Change per second between two readings of one counter; null when they do not tell. */
export function rate(before: Sample | undefined, after: Sample): number | null {
  if (before === undefined) return null;
  const elapsed = (after.at - before.at) / 1000;
  if (elapsed <= 0) return null;
  // A counter that went back belongs to a process that started again: it has counted since then.
  const grown = after.value >= before.value ? after.value - before.value : after.value;
  return grown / elapsed;
}

/** Per-second rate of a counter over a sliding window, so that uneven arrival does not show. */
export class CounterRate {
  private samples: Sample[] = [];
  private source = "";

  constructor(private readonly windowMs = 5_000) {}

  /** `source` names the process that counts; another one starts anew. */
  push(sample: Sample, source = ""): number | null {
    const last = this.samples.at(-1);
    if (source !== this.source || (last !== undefined && sample.value < last.value)) {
      this.samples = [];
      this.source = source;
    }
    // The same reading may be reported again.
    if (last !== undefined && this.samples.length > 0 && sample.at <= last.at) return this.current();
    this.samples.push(sample);
    // One sample older than the window stays: the rate needs two ends.
    while (this.samples.length > 2 && (this.samples[1]?.at ?? 0) <= sample.at - this.windowMs) {
      this.samples.shift();
    }
    return this.current();
  }

  current(): number | null {
    const last = this.samples.at(-1);
    const first = this.samples[0];
    return last === undefined || first === last ? null : rate(first, last);
  }
}

/** The latest values of one number, oldest first, at most `capacity` of them. */
export class Series {
  readonly points: Sample[] = [];

  constructor(private readonly capacity = 150) {}

  /** Values that come within `stepMs` of the last kept point replace it. */
  push(point: Sample, stepMs = 0): void {
    const last = this.points.at(-1);
    const before = this.points.at(-2);
    if (last !== undefined && before !== undefined && point.at - before.at < stepMs) {
      this.points[this.points.length - 1] = point;
    } else {
      this.points.push(point);
      if (this.points.length > this.capacity) this.points.shift();
    }
  }
}
