// Orval's clients send each request by these functions. They know the host and the token.
const hosts = {
  central: { url: "", token: "" },
  workspace: { url: "", token: "" },
};

export const connect = (layer: keyof typeof hosts, url: string, token: string) => {
  hosts[layer] = { url, token };
};

const send = async <T>(layer: keyof typeof hosts, path: string, init: RequestInit): Promise<T> => {
  const { url, token } = hosts[layer];
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const response = await fetch(url + path, { ...init, headers });
  return { status: response.status, data: await response.json(), headers: response.headers } as T;
};

export const sendCentral = <T>(path: string, init: RequestInit) => send<T>("central", path, init);
export const sendWorkspace = <T>(path: string, init: RequestInit) => send<T>("workspace", path, init);
