/** Which view the address names: `#/clusters/app` is the view `clusters` with the item `app`. */
import { useEffect, useState } from "preact/hooks";

export const VIEWS = ["fleet", "clusters", "bans", "proxies", "revisions", "events"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  item: string | null;
}

export function parseRoute(hash: string): Route {
  const [view = "", ...rest] = hash.replace(/^#?\/?/, "").split("/");
  const known = VIEWS.find((name) => name === view);
  if (known === undefined) return { view: "fleet", item: null };
  return { view: known, item: decode(rest.join("/")) };
}

function decode(text: string): string | null {
  if (text === "") return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function href(view: View, item?: string | number): string {
  return item === undefined ? `#/${view}` : `#/${view}/${encodeURIComponent(item)}`;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
