/** Who is at the page: nobody yet, someone whose token is being checked, or someone signed in. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { Client } from "./api/client";
import { asProblem, type Problem } from "./api/problem";
import type { Session } from "./api/types";
import { backoff } from "./live/backoff";
import { storedToken, storeToken } from "./token";
import { ErrorBoundary } from "./ui/boundary";
import { ProblemBox } from "./ui/problem";
import { Shell } from "./shell";
import { SignIn } from "./views/signin";

type Visitor =
  | { is: "nobody"; notice: string | null }
  | { is: "checking"; token: string; problem: Problem | null }
  | { is: "someone"; client: Client; session: Session };

export function App() {
  const [visitor, setVisitor] = useState<Visitor>(() => {
    const token = storedToken();
    return token === null ? { is: "nobody", notice: null } : { is: "checking", token, problem: null };
  });

  const signOut = useCallback((notice: string | null) => {
    storeToken(null);
    setVisitor({ is: "nobody", notice });
  }, []);

  const signIn = useCallback((token: string, session: Session) => {
    storeToken(token);
    setVisitor({ is: "someone", client: new Client(token), session });
  }, []);

  const token = visitor.is === "checking" ? visitor.token : null;
  useEffect(() => {
    if (token === null) return;
    return checkToken(token, {
      accepted: (session) => signIn(token, session),
      refused: (problem) => signOut(`${problem.title}. Sign in again.`),
      failed: (problem) => setVisitor({ is: "checking", token, problem }),
    });
  }, [token, signIn, signOut]);

  switch (visitor.is) {
    case "nobody":
      return <SignIn notice={visitor.notice} onSignIn={signIn} />;
    case "checking":
      return (
        <main class="lonely">
          <p class="muted" role="status">Connecting to the control plane …</p>
          {visitor.problem && <ProblemBox problem={visitor.problem} />}
          {visitor.problem && <button onClick={() => signOut(null)}>Sign out</button>}
        </main>
      );
    case "someone":
      return (
        <ErrorBoundary>
          <Shell client={visitor.client} session={visitor.session} onSignOut={signOut} />
        </ErrorBoundary>
      );
  }
}

interface CheckHandlers {
  accepted(session: Session): void;
  refused(problem: Problem): void;
  failed(problem: Problem): void;
}

/** Asks whose token it is until there is an answer; gives back how to stop asking. */
function checkToken(token: string, handlers: CheckHandlers): () => void {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  const ask = async () => {
    try {
      handlers.accepted(await new Client(token).read<Session>("/session", abort.signal));
    } catch (error) {
      if (abort.signal.aborted) return;
      const problem = asProblem(error);
      if (problem.status === 401 || problem.status === 403) {
        handlers.refused(problem);
        return;
      }
      handlers.failed(problem);
      timer = setTimeout(() => void ask(), backoff(++failures));
    }
  };
  void ask();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}
