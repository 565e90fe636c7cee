/** Two documents compared line by line. */
import { useMemo } from "preact/hooks";
import { diffLines, documentLines, hunks } from "../diff";

const SIGNS = { same: " ", added: "+", removed: "−" } as const;
const NAMES = { same: "", added: "added: ", removed: "removed: " } as const;

export function DiffView({ before, after }: { before: unknown; after: unknown }) {
  const parts = useMemo(
    () => hunks(diffLines(documentLines(before), documentLines(after))),
    [before, after],
  );
  if (parts.length === 0) {
    return <p class="muted pad">No visible difference. Secrets are never shown, so a changed password does not appear here.</p>;
  }
  return (
    <div class="diff" tabIndex={0} role="region" aria-label="Differences">
      <table>
        {parts.map((part, index) => (
          <tbody key={index}>
            {part.map((line, place) => (
              <tr key={place} class={line.change}>
                <td class="number" aria-hidden="true">{line.before}</td>
                <td class="number" aria-hidden="true">{line.after}</td>
                <td class="sign" aria-hidden="true">{SIGNS[line.change]}</td>
                <td class="text"><span class="hidden">{NAMES[line.change]}</span>{line.text}</td>
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}
