/** The small parts that every view is made of. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

export type Tone = "good" | "warn" | "bad" | "info" | "none";

/** A word with a coloured dot; the word alone says it all. */
export function Status({ tone, title, children }: { tone: Tone; title?: string; children: ComponentChildren }) {
  return <span class={`status ${tone}`} title={title}>{children}</span>;
}

export function Badge({ tone = "none", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** What to see, and what to do, where there is nothing yet. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty-state"><h3>{title}</h3>{children}</div>;
}

/** A command to copy. */
export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  // Browsers give the clipboard to secure pages only.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  const copy = () => {
    clipboard?.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    }, () => undefined);
  };
  return (
    <div class="command">
      <pre tabIndex={0}><code>{text}</code></pre>
      {clipboard && <button class="small" onClick={copy}>{copied ? "Copied" : "Copy"}</button>}
    </div>
  );
}

export function Section({ title, aside, children }: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="block" aria-label={title}>
      <header><h2>{title}</h2>{aside}</header>
      {children}
    </section>
  );
}

/** A cell of a table; on a narrow screen the label stands before the value. */
export function Cell({ label, num = false, children, title }: {
  label: string;
  num?: boolean;
  title?: string | undefined;
  children: ComponentChildren;
}) {
  return <td data-label={label} class={num ? "num" : undefined} title={title}>{children}</td>;
}
