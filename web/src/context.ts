/** What every view may use: the state of the fleet, the time, and who is looking. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Client } from "./api/client";
import type { Session } from "./api/types";
import type { Fleet } from "./live/fleet";

export interface Desk {
  client: Client;
  session: Session;
  fleet: Fleet;
  /** The server's time, in milliseconds; advances each second. */
  now: number;
}

export const DeskContext = createContext<Desk | null>(null);

export function useDesk(): Desk {
  const desk = useContext(DeskContext);
  if (desk === null) throw new Error("a view stands outside the shell");
  return desk;
}

/** Whether the person may change things. The server decides; this only hides what it would refuse. */
export const mayOperate = (session: Session): boolean => session.role !== "viewer";
