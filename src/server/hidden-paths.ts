import { homedir } from 'node:os'
import { delimiter, isAbsolute, join } from 'node:path'

import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { ServerConfig } from './server-config.ts'

/** Where Kubernetes mounts what the clouds ask for. */
const mountedSecrets = ['amazon-secret', 'google-secret', 'microsoft-secret', 'minio-secret']

/** Variables by which libraries and tools of the clouds are told of files with credentials. */
const fileVariables = [
  'AWS_CONFIG_FILE',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AZURE_CLIENT_CERTIFICATE_PATH',
  'AZURE_CONFIG_DIR',
  'AZURE_FEDERATED_TOKEN_FILE',
  'CLOUDSDK_CONFIG',
  'CREDENTIALS_DIRECTORY',
  'DOCKER_CONFIG',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'KUBECONFIG',
  'NETRC',
  'NPM_CONFIG_USERCONFIG',
  'PGPASSFILE',
  'RCLONE_CONFIG',
  'REGISTRY_AUTH_FILE',
]
/** Where tools keep passwords, tokens and keys in a home. */
const homeFiles = [
  '.aws',
  '.azure',
  '.boto',
  '.cache/huggingface/token',
  '.cargo/credentials',
  '.cargo/credentials.toml',
  '.composer/auth.json',
  '.config/composer/auth.json',
  '.config/containers',
  '.config/doctl',
  '.config/gcloud',
  '.config/gh',
  '.config/git/credentials',
  '.config/glab-cli',
  '.config/hub',
  '.config/op',
  '.config/rclone',
  '.config/sops',
  '.docker',
  '.gem/credentials',
  '.git-credentials',
  '.gnupg',
  '.gradle/gradle.properties',
  '.kaggle',
  '.kube',
  '.local/share/keyrings',
  '.m2/settings.xml',
  '.mc',
  '.my.cnf',
  '.mylogin.cnf',
  '.netrc',
  '.npmrc',
  '.oci',
  '.password-store',
  '.pgpass',
  '.pki',
  '.pypirc',
  '.rclone.conf',
  '.s3cfg',
  '.ssh',
  '.terraform.d',
  '.terraformrc',
  '.vault-token',
  '.yarnrc.yml',
]

/**
 * Files and directories of the server's, outside of its data directory, that the code of pipelines must not
 * see: keys, credentials, and copies of everybody's data. All absolute; none need exist.
 */
export function hiddenPaths(
  { secretKeysFile, backup, oldCluster }: Partial<ServerConfig>,
  { variables, secretsDirectory }: CloudEnvironment,
  home: string | undefined = homeHere(),
): readonly string[] {
  const stores = oldCluster?.kind === 'stores' ? [oldCluster.etcd, oldCluster.storage] : []
  const asked = [secretKeysFile, backup?.secretFile?.path, backup?.to]
  const named = fileVariables.flatMap((name) => (variables[name] ?? '').split(delimiter))
  return [
    ...asked.filter((path) => path !== undefined),
    ...stores,
    ...named,
    ...mountedSecrets.map((name) => join(secretsDirectory, name)),
    ...(home === undefined ? [] : homeFiles.map((name) => join(home, name))),
  ].filter((path) => isAbsolute(path))
}

/** Undefined for a user of whom the system knows nothing, as in a container that runs as any number. */
function homeHere(): string | undefined {
  try {
    return homedir()
  } catch {
    return undefined
  }
}
