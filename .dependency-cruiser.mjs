// Who may import whom. `docs/` draws the picture; this is the rule, and `npm test` holds it.

/** Each layer and the layers it may import. A layer that is not listed here fails the check. */
const layers = {
  base: [],
  gen: [],
  database: ['base'],
  storage: ['base', 'database'],
  versioning: ['base', 'database', 'storage'],
  pipelines: ['base', 'database', 'storage', 'versioning'],
  workers: ['base', 'storage', 'versioning', 'pipelines'],
  executors: ['base', 'pipelines'],
  access: ['base', 'database'],
  api: [
    'base',
    'gen',
    'access',
    'storage',
    'versioning',
    'pipelines',
    'sources',
    'targets',
    'migration',
    'backups',
  ],
  client: ['base', 'gen'],
  'node-client': ['base', 'client'],
  clouds: ['base'],
  targets: ['base', 'clouds', 'versioning'],
  sources: ['base', 'gen', 'client', 'node-client', 'clouds', 'storage', 'versioning'],
  legacy: ['base', 'gen', 'client', 'node-client', 'clouds'],
  backups: ['base', 'database', 'storage', 'clouds'],
  migration: ['base', 'gen', 'legacy', 'database', 'storage', 'versioning', 'pipelines'],
  server: [
    'base',
    'database',
    'storage',
    'access',
    'versioning',
    'pipelines',
    'executors',
    'workers',
    'clouds',
    'sources',
    'targets',
    'legacy',
    'migration',
    'backups',
    'api',
  ],
  mount: ['base', 'gen', 'client'],
  cli: ['base', 'gen', 'client', 'node-client', 'mount', 'backups'],
  bin: ['base', 'cli', 'server'],
}
// Imported by tests only; may reach everything below the programs.
layers.testing = Object.keys(layers).filter((layer) => layer !== 'bin' && layer !== 'cli')

const names = Object.keys(layers)
const tests = '\\.test\\.ts$'

export default {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'browser-safe',
      comment: 'base, gen and client also run in a browser.',
      severity: 'error',
      from: { path: '^src/(base|gen|client)/', pathNot: tests },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'known-layer',
      comment: 'A new folder in src/ needs its line in the table above.',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: `^src/(${names.join('|')})/` },
    },
    {
      name: 'testing-in-tests',
      severity: 'error',
      from: { path: '^src/', pathNot: [tests, '^src/testing/'] },
      to: { path: '^src/testing/' },
    },
    ...Object.entries(layers).map(([layer, below]) => ({
      name: `layer-${layer}`,
      comment: `${layer}/ may import ${below.join(', ') || 'no other layer'}.`,
      severity: 'error',
      from: { path: `^src/${layer}/`, pathNot: tests },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...below].join('|')})/` },
    })),
    ...names
      .filter((layer) => layer !== 'gen')
      .map((layer) => ({
        name: `door-${layer}`,
        comment: `From outside, only the files directly in ${layer}/ may be imported.`,
        severity: 'error',
        from: { path: '^(src|web)/', pathNot: [`^src/${layer}/`, '^src/testing/', tests] },
        to: { path: `^src/${layer}/[^/]+/` },
      })),
    {
      name: 'no-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-dev-dependency',
      comment: 'What is published needs only what its package lists.',
      severity: 'error',
      from: { path: '^src/', pathNot: [tests, '^src/testing/'] },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'node', 'default'],
    },
  },
}
