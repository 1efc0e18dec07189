import { useEffect, useState } from 'react';

// A small file can unpack to a picture that fills the memory; what its header says is checked first.
const MAX_PIXELS = 64_000_000;

interface Props {
  bytes: Uint8Array;
  type: string;
  width: number;
  height: number;
}

/** A picture by a blob: URL, in which nothing can run: an <img> executes no scripts and loads nothing, not even for SVG. */
export function ImageView({ bytes, type, width, height }: Props) {
  const [url, setUrl] = useState<string | null>(null);
  const [broken, setBroken] = useState(false);
  const isTooLarge = width * height > MAX_PIXELS;
  useEffect(() => {
    setBroken(false);
    if (isTooLarge) return undefined;
    const made = URL.createObjectURL(new Blob([bytes as BlobPart], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [bytes, type, isTooLarge]);
  if (isTooLarge)
    return (
      <p className="rv-note" role="alert">
        The picture says that it has {width} by {height} pixels, which is too large to show. It can be downloaded.
      </p>
    );
  if (broken)
    return (
      <p className="rv-note" role="alert">
        The browser cannot read this picture. It can be downloaded.
      </p>
    );
  if (url === null) return null;
  return (
    <figure className="rv-image">
      <img src={url} alt="The result" onError={() => setBroken(true)} />
      {width > 0 && (
        <figcaption className="muted">
          {type.slice('image/'.length).toUpperCase()}, {width} × {height} pixels
        </figcaption>
      )}
    </figure>
  );
}
