// How the dashboard is built and tried out.
//
// MESH_API is the link that `mesh up` prints (its token is not needed here). A node answers to its own Host and Origin
// alone, so the proxy of the development server speaks as the node's own page would.
//
// What is built runs under this Content-Security-Policy, and needs nothing more: default-src 'self'; style-src 'self'
// 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none';
// frame-ancestors 'none'. Monaco writes style elements and style attributes as it draws lines, and has images in its
// style sheet; an image that is a result is a blob. Scripts and workers are files of this origin.
import react from '@vitejs/plugin-react';
import type { ProxyOptions } from 'vite';
import { defineConfig } from 'vite';
import { aliases } from './aliases.ts';

function proxyTo(link: string): Record<string, ProxyOptions> {
  const { origin, host } = new URL(link);
  const options: ProxyOptions = { target: origin, ws: true, headers: { host, origin } };
  return Object.fromEntries(['/api', '/ipfs', '/openapi.json', '/livez', '/readyz'].map((path) => [path, options]));
}

export default defineConfig(({ command }) => ({
  base: '/',
  plugins: [react()],
  resolve: { alias: aliases },
  server: {
    host: '127.0.0.1',
    strictPort: false,
    ...(command === 'serve' && process.env.MESH_API ? { proxy: proxyTo(process.env.MESH_API) } : {}),
  },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // Nothing as a data: address, which a strict Content-Security-Policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
    sourcemap: false,
  },
}));
