import { MeshError } from 'meshwork';

/** What an error says to people; may hold the node's words, so it is shown as text of others. */
export function textOf(error: unknown): string {
  if (error instanceof MeshError) return error.detail || error.title;
  return error instanceof Error ? error.message : String(error);
}
