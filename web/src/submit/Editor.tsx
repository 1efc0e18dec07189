// The editor, and where a guest failed in what stands in it.
import { useEffect, useEffectEvent, useRef } from 'react';
import { useIsDark } from '../app/theme';
import type { GuestError } from '../lib/traceback';
import { visible } from '../lib/visible';
import { monaco } from './monaco';

export default function Editor({
  language,
  value,
  onValue,
  error,
}: {
  language: 'python' | 'javascript' | 'wat';
  value: string;
  onValue: (value: string) => void;
  error: GuestError | null;
}) {
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneCodeEditor>(null);
  const dark = useIsDark();
  const changed = useEffectEvent(onValue);
  const initial = useRef(value);
  useEffect(() => {
    if (!place.current) return;
    const made = monaco.editor.create(place.current, {
      value: initial.current,
      language,
      minimap: { enabled: false },
      fontSize: 13,
      scrollBeyondLastLine: false,
      automaticLayout: true,
      tabSize: language === 'python' ? 4 : 2,
      ariaLabel: 'Program. Control+M changes what the tab key does.',
      wordBasedSuggestions: 'currentDocument',
    });
    editor.current = made;
    const subscription = made.onDidChangeModelContent(() => changed(made.getValue()));
    return () => {
      subscription.dispose();
      made.getModel()?.dispose();
      made.dispose();
      editor.current = null;
    };
  }, [language]);
  useEffect(() => {
    if (editor.current && editor.current.getValue() !== value) editor.current.setValue(value);
  }, [value]);
  useEffect(() => {
    const calm = matchMedia('(prefers-contrast: more)').matches;
    monaco.editor.setTheme(dark ? (calm ? 'hc-black' : 'vs-dark') : calm ? 'hc-light' : 'vs');
  }, [dark]);
  useEffect(() => {
    const model = editor.current?.getModel();
    if (!model) return;
    const first = error?.frames[0];
    monaco.editor.setModelMarkers(
      model,
      'guest',
      first && error
        ? [
            {
              severity: monaco.MarkerSeverity.Error,
              message: visible(error.message),
              startLineNumber: first.line,
              endLineNumber: first.line,
              startColumn:
                first.column ?? model.getLineFirstNonWhitespaceColumn(Math.min(first.line, model.getLineCount())),
              endColumn: model.getLineMaxColumn(Math.min(first.line, model.getLineCount())),
            },
          ]
        : [],
    );
    if (first) editor.current?.revealLineInCenterIfOutsideViewport(first.line);
  }, [error]);
  return <div className="editor" ref={place} />;
}
