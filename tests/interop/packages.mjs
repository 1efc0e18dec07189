// Loads the npm packages of the interop tests from where they are installed: outside of the source tree, where a bare
// import cannot find them.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// ES2024, which js-libp2p takes for granted and Node 20 lacks.
Promise.withResolvers ??= function () {
  const all = {};
  all.promise = new this((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
};

/// The import of a package, or of one of its exports, below the folder that holds node_modules. Ends the program with a
/// sentence if they are not installed.
export const packagesOf = (folder) => {
  const root = resolve(folder, 'node_modules');
  if (!existsSync(root)) {
    console.error(`error: ${root} is not there: run scripts/interop_packages.sh, as make test does`);
    process.exit(1);
  }
  return async (name) => {
    const parts = name.split('/');
    const pkg = parts.splice(0, name.startsWith('@') ? 2 : 1).join('/');
    const { exports } = JSON.parse(readFileSync(join(root, pkg, 'package.json'), 'utf8'));
    const entry = exports[['.', ...parts].join('/')];
    return import(pathToFileURL(join(root, pkg, typeof entry === 'string' ? entry : entry.import)));
  };
};
