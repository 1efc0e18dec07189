// The WebAssembly text format for Monaco: comments, names, numbers, instructions.
import type { languages } from 'monaco-editor/editor/editor.api.js';

export const watConfiguration: languages.LanguageConfiguration = {
  comments: { lineComment: ';;', blockComment: ['(;', ';)'] },
  brackets: [['(', ')']],
  autoClosingPairs: [
    { open: '(', close: ')' },
    { open: '"', close: '"' },
  ],
};

export const watLanguage: languages.IMonarchLanguage = {
  keywords: [
    ...['module', 'func', 'param', 'result', 'local', 'type', 'import', 'export', 'memory', 'data', 'table', 'elem'],
    ...['global', 'mut', 'start', 'offset', 'block', 'loop', 'if', 'then', 'else', 'end', 'call', 'call_indirect'],
    ...['br', 'br_if', 'br_table', 'return', 'drop', 'select', 'unreachable', 'nop'],
  ],
  types: ['i32', 'i64', 'f32', 'f64', 'v128', 'funcref', 'externref'],
  tokenizer: {
    root: [
      [/;;.*$/, 'comment'],
      [/\(;/, 'comment', '@block'],
      [/"/, 'string', '@text'],
      [/\$[\w!#$%&'*+\-./:<=>?@\\^`|~]+/, 'variable'],
      [
        /[+-]?(?:0x[\da-fA-F_]+(?:\.[\da-fA-F_]*)?(?:[pP][+-]?\d+)?|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?|inf|nan)\b/,
        'number',
      ],
      [/[a-z][\w]*(?:\.[\w]+)+/, 'keyword'],
      [/[a-z]\w*/, { cases: { '@keywords': 'keyword', '@types': 'type', '@default': 'identifier' } }],
      [/[()]/, '@brackets'],
    ],
    block: [
      [/\(;/, 'comment', '@push'],
      [/;\)/, 'comment', '@pop'],
      [/./, 'comment'],
    ],
    text: [
      [/[^\\"]+/, 'string'],
      [/\\./, 'string.escape'],
      [/"/, 'string', '@pop'],
    ],
  },
};
