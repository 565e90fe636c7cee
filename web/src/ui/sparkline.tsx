/** A line of the latest values of one number, drawn from nought. */
import type { Sample } from "../live/rate";

interface Props {
  points: readonly Sample[];
  /** How much time the full width stands for. */
  spanMs: number;
  /** The right edge. */
  now: number;
  label: string;
}

const WIDTH = 600;
const HEIGHT = 100;

export function Sparkline({ points, spanMs, now, label }: Props) {
  const shown = points.filter((point) => point.at >= now - spanMs);
  if (shown.length < 2) return <div class="spark empty" aria-hidden="true" />;
  const top = Math.max(...shown.map((point) => point.value), 1e-9) * 1.08;
  const x = (at: number) => (WIDTH * (at - (now - spanMs))) / spanMs;
  const y = (value: number) => HEIGHT - (HEIGHT - 2) * (value / top);
  const line = shown.map((point) => `${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("L");
  const [first, last] = [shown[0] as Sample, shown.at(-1) as Sample];
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="area" d={`M${x(first.at).toFixed(1)} ${HEIGHT}L${line}L${x(last.at).toFixed(1)} ${HEIGHT}Z`} />
      <path class="line" d={`M${line}`} />
    </svg>
  );
}
