
    window.MyCard = ((container) => ({
      async init({ react = {} }) {
        const version = Object.keys(react).find((version) => version.startsWith("18."));
        window["React of MyCard"] = window.React ?? (await react[version]?.get())?.();
        if (!window["React of MyCard"]) throw new Error("MyCard needs React 18, and the page shares none");
      },
      get: async (name) => (await import(container)).get(name),
    }))(new URL("./container-CUf8RH2r.js", document.currentScript.src));