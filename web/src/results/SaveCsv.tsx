import { useEffect, useRef, useState } from 'react';

import { save } from '../lib/download';
import { textOf } from '../lib/errors';
import { csvParts } from './export';
import type { Table } from './table';
import { inSlices } from './work';

interface Props {
  table: Table;
  /** The rows in the order on the screen; null for that of the data. */
  order: Uint32Array | null;
  name: string;
  label: string;
}

/** Saves a table, of a million rows in the background; a second press begins anew. */
export function SaveCsv({ table, order, name, label }: Props) {
  const abort = useRef<AbortController>(null);
  const [state, setState] = useState('');
  useEffect(() => () => abort.current?.abort(), []);
  const start = async () => {
    abort.current?.abort();
    const { signal } = (abort.current = new AbortController());
    setState('saving');
    try {
      save(await inSlices(csvParts(table, order), signal), 'text/csv;charset=utf-8', name);
      setState('');
    } catch (error) {
      if (!signal.aborted) setState(`Not saved: ${textOf(error)}`);
    }
  };
  return (
    <>
      <button
        type="button"
        onClick={() => void start()}
        title="Texts that a spreadsheet would run as formulas get an apostrophe"
      >
        {label}
      </button>
      <span role="status" className="muted">
        {state}
      </span>
    </>
  );
}
