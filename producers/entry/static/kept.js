"use strict";
// What this browser keeps: drafts by account and page, and reports that wait for the line.

function database() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open("chungsuc-entry", 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("drafts", { keyPath: ["account", "path"] });
      asked.result.createObjectStore("queue", { keyPath: "id", autoIncrement: true });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function within(store, mode, work) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction(store, mode);
      const asked = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
}

const put = (store, value) => within(store, "readwrite", (objects) => objects.put(value));
const drop = (store, key) => within(store, "readwrite", (objects) => objects.delete(key));
const one = (store, key) => within(store, "readonly", (objects) => objects.get(key));
const all = (store) => within(store, "readonly", (objects) => objects.getAll());
