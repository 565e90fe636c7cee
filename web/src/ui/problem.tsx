/** What went wrong, with each field that is to blame. */
import type { Problem } from "../api/problem";

export function ProblemBox({ problem }: { problem: Problem }) {
  return (
    <div class="problem" role="alert">
      <strong>{problem.title}</strong>
      {problem.detail && <p>{problem.detail}</p>}
      {problem.fields.length > 0 && (
        <ul>
          {problem.fields.map((field) => (
            <li key={field.pointer + field.code}>
              <code>{field.pointer || "/"}</code> {field.message || field.code}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
