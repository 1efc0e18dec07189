import { useState } from 'react';
import { Button, Command, TextField } from '../ui/kit';
import { tokenIn } from './token';

export function TokenPage({ denied, onToken }: { denied: boolean; onToken: (token: string) => void }) {
  const [text, setText] = useState('');
  const [error, setError] = useState<string>();
  const submit = () => {
    const token = tokenIn(text);
    if (token === null) setError('That holds no token: paste the whole link that the node printed.');
    else onToken(token);
  };
  return (
    <main className="token-page">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>{denied ? 'The node does not take this token' : 'Open the dashboard by its link'}</h1>
      <p>
        {denied
          ? 'The token is not, or is no longer, this node’s. Drafts and settings of this browser are still here. '
          : 'The dashboard acts for whoever opens it, so it needs the token that the node has in its home folder. '}
        The link with the token is the first thing that the node prints:
      </p>
      <Command line="mesh up" />
      <p className="muted">
        Of a node that runs already, the token stands in <code>api.json</code> in its home folder, which this prints:
      </p>
      <Command line="mesh node paths" />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <TextField
          label="Link or token"
          type="password"
          value={text}
          onValue={(value) => {
            setText(value);
            setError(undefined);
          }}
          error={error}
          hint="It stays in this tab and goes to this node alone."
          autoFocus
        />
        <Button tone="primary" type="submit">
          Open
        </Button>
      </form>
    </main>
  );
}
