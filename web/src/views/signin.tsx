/** The form that asks for a token. */
import { useRef, useState } from "preact/hooks";
import { Client } from "../api/client";
import { asProblem, Problem } from "../api/problem";
import type { Session } from "../api/types";
import { Logo } from "../ui/logo";
import { ProblemBox } from "../ui/problem";

interface Props {
  /** Why the person is here again. */
  notice: string | null;
  onSignIn(token: string, session: Session): void;
}

export function SignIn({ notice, onSignIn }: Props) {
  const field = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);

  const submit = async (event: Event) => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (token === "") {
      setProblem(new Problem(0, "Enter a token", ""));
      field.current?.focus();
      return;
    }
    setBusy(true);
    setProblem(null);
    try {
      onSignIn(token, await new Client(token).read<Session>("/session"));
    } catch (error) {
      setBusy(false);
      setProblem(explain(asProblem(error)));
      field.current?.select();
    }
  };

  return (
    <main class="lonely">
      <form class="card signin" onSubmit={(event) => void submit(event)}>
        <h1><Logo /> pgherd</h1>
        {notice && !problem && <p class="notice" role="status">{notice}</p>}
        {/* For password managers, which keep a password only with a name. */}
        <input type="text" name="username" autocomplete="username" value="pgherd" readOnly hidden />
        <label for="token">Access token</label>
        <input
          id="token" ref={field} type="password" autocomplete="current-password" autofocus
          spellcheck={false} placeholder="pgherd_…" aria-invalid={problem !== null}
        />
        {problem && <ProblemBox problem={problem} />}
        <button class="primary" type="submit" disabled={busy}>{busy ? "Signing in …" : "Sign in"}</button>
        <p class="muted small">
          The control plane makes an admin token on its first start. More are made with{" "}
          <code>POST /api/v1/tokens</code>. The token stays in this tab and is gone when you close it.
        </p>
      </form>
    </main>
  );
}

function explain(problem: Problem): Problem {
  if (problem.status === 401) {
    return new Problem(401, "The control plane does not accept this token", "It is mistyped, revoked, or of another control plane.");
  }
  if (problem.status === 403) {
    return new Problem(403, "This token may not see the dashboard", "A viewer, operator or admin token is needed.");
  }
  return problem;
}
