from saelab.commands.import_sae import main

if __name__ == "__main__":
    main()
