// Monaco with three languages and no language servers. Loaded when the editor is opened, and never before.
import 'monaco-editor/features/register.all.js';
import * as monaco from 'monaco-editor/editor/editor.api.js';
import EditorWorker from 'monaco-editor/editor/editor.worker.js?worker';
import * as javascript from 'monaco-editor/languages/definitions/javascript/javascript.js';
import * as python from 'monaco-editor/languages/definitions/python/python.js';
import { helpers } from './helpers';
import { watConfiguration, watLanguage } from './wat';

self.MonacoEnvironment = { getWorker: () => new EditorWorker() };

function register(
  id: string,
  conf: monaco.languages.LanguageConfiguration,
  language: monaco.languages.IMonarchLanguage,
) {
  monaco.languages.register({ id });
  monaco.languages.setLanguageConfiguration(id, conf);
  monaco.languages.setMonarchTokensProvider(id, language);
}

function registerHelpers(id: 'python' | 'javascript') {
  monaco.languages.registerCompletionItemProvider(id, {
    triggerCharacters: ['.'],
    provideCompletionItems(model, position) {
      const before = model.getLineContent(position.lineNumber).slice(0, position.column - 1);
      const typed = /[\w.]*$/.exec(before)?.[0] ?? '';
      const range = new monaco.Range(
        position.lineNumber,
        position.column - typed.length,
        position.lineNumber,
        position.column,
      );
      return {
        suggestions: helpers[id].map((helper) => ({
          label: helper.label,
          kind: monaco.languages.CompletionItemKind.Function,
          insertText: helper.insert,
          insertTextRules: monaco.languages.CompletionItemInsertTextRule.InsertAsSnippet,
          detail: helper.signature,
          documentation: helper.says,
          range,
        })),
      };
    },
  });
  monaco.languages.registerSignatureHelpProvider(id, {
    signatureHelpTriggerCharacters: ['(', ','],
    provideSignatureHelp(model, position) {
      const before = model.getLineContent(position.lineNumber).slice(0, position.column - 1);
      const name = /([\w.]+)\([^()]*$/.exec(before)?.[1];
      const helper = helpers[id].find((one) => name !== undefined && one.signature.startsWith(`${name}(`));
      if (!helper) return null;
      const signatures = [{ label: helper.signature, documentation: helper.says, parameters: [] }];
      return { value: { signatures, activeSignature: 0, activeParameter: 0 }, dispose: () => undefined };
    },
  });
}

register('python', python.conf, python.language);
register('javascript', javascript.conf, javascript.language);
register('wat', watConfiguration, watLanguage);
registerHelpers('python');
registerHelpers('javascript');

export { monaco };
