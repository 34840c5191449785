// Command manager is a controller as users write them with controller-runtime: a manager with leader election, a cached
// client, owned objects, finalizers and status by server-side apply. It mirrors ConfigMaps that carry a label into Secrets
// and ends by itself when all of them are as they should be; with 1 when that does not happen.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	namespace = "managed"
	label     = "example.com/mirror"
	finalizer = "example.com/mirror"
	objects   = 20
	limit     = time.Minute
)

type mirror struct{ client.Client }

func (m mirror) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var source corev1.ConfigMap
	if err := m.Get(ctx, request.NamespacedName, &source); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if source.Labels[label] != "yes" {
		return ctrl.Result{}, nil
	}
	if !source.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(&source, finalizer) {
			return ctrl.Result{}, m.Update(ctx, &source)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(&source, finalizer) {
		return ctrl.Result{}, m.Update(ctx, &source)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: source.Namespace, Name: source.Name}}
	_, err := controllerutil.CreateOrPatch(ctx, m.Client, secret, func() error {
		secret.StringData = source.Data
		return controllerutil.SetControllerReference(&source, secret, m.Scheme())
	})
	return ctrl.Result{}, err
}

func main() {
	log.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		LeaderElection: true, LeaderElectionID: "mirror.example.com", LeaderElectionNamespace: "default",
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
	})
	if err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).Complete(mirror{manager.GetClient()}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	direct, err := client.New(config, client.Options{Scheme: manager.GetScheme()})
	if err != nil {
		return err
	}
	if err := drive(ctx, direct); err != nil {
		return err
	}
	stop()
	return <-ended
}

// drive is the user: it makes objects, looks at what the controller made of them, and deletes them.
func drive(ctx context.Context, user client.Client) error {
	if err := user.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	for i := range objects {
		source := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("source-%d", i), Labels: map[string]string{label: "yes"}},
			Data:       map[string]string{"n": fmt.Sprint(i)},
		}
		if err := user.Create(ctx, source); err != nil {
			return err
		}
	}
	if err := until(ctx, "every ConfigMap has its Secret", func() (bool, error) {
		var secrets corev1.SecretList
		err := user.List(ctx, &secrets, client.InNamespace(namespace))
		return len(secrets.Items) == objects, err
	}); err != nil {
		return err
	}
	// A Secret that somebody deleted comes back, for the controller owns it.
	lost := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "source-3"}}
	if err := user.Delete(ctx, lost); err != nil {
		return err
	}
	if err := until(ctx, "the deleted Secret is back", func() (bool, error) {
		err := user.Get(ctx, client.ObjectKeyFromObject(lost), lost)
		return err == nil && string(lost.Data["n"]) == "3" && lost.DeletionTimestamp.IsZero(), client.IgnoreNotFound(err)
	}); err != nil {
		return err
	}
	if err := user.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(namespace), client.MatchingLabels{label: "yes"}); err != nil {
		return err
	}
	return until(ctx, "every ConfigMap is gone once its finalizer is", func() (bool, error) {
		var sources corev1.ConfigMapList
		err := user.List(ctx, &sources, client.InNamespace(namespace), client.MatchingLabels{label: "yes"})
		return len(sources.Items) == 0, err
	})
}

func until(ctx context.Context, what string, look func() (bool, error)) error {
	for {
		isTrue, err := look()
		if err != nil && !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if isTrue {
			fmt.Printf("ok %s\n", what)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: did not come true", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
