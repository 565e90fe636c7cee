/** Takes a proxy that is gone for good off the list. */
import { useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";
import { useDesk } from "../context";
import { ProblemBox } from "../ui/problem";

export function ForgetProxy({ id }: { id: string }) {
  const { client } = useDesk();
  const [step, setStep] = useState<"idle" | "asked" | "busy">("idle");
  const [problem, setProblem] = useState<Problem | null>(null);
  const forget = async () => {
    setStep("busy");
    setProblem(null);
    try {
      // The list comes anew by itself.
      await client.remove(`/proxies/${encodeURIComponent(id)}`);
    } catch (error) {
      setProblem(asProblem(error));
      setStep("idle");
    }
  };
  if (step === "idle") {
    return (
      <>
        <button class="small" onClick={() => setStep("asked")}>Forget …</button>
        {problem && <ProblemBox problem={problem} />}
      </>
    );
  }
  return (
    <span class="confirm">
      Gone for good? Its number becomes free; if it connects again it is a new proxy.
      <button class="small danger" disabled={step === "busy"} onClick={() => void forget()}>Forget {id}</button>
      <button class="small" disabled={step === "busy"} onClick={() => setStep("idle")}>Keep</button>
    </span>
  );
}
