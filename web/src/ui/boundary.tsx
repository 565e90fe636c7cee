/** Says that the page itself failed, instead of showing nothing. */
import { Component, type ComponentChildren } from "preact";

export class ErrorBoundary extends Component<{ children: ComponentChildren }, { error: string | null }> {
  override state = { error: null };

  static override getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <main class="lonely">
        <div class="problem" role="alert">
          <strong>The page failed</strong>
          <p>{this.state.error}</p>
          <p>The fleet is not affected. Reload the page; if it fails again, please report it.</p>
        </div>
        <button class="primary" onClick={() => location.reload()}>Reload</button>
      </main>
    );
  }
}
